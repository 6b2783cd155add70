//! The battery clock, read once at boot.

use crate::cpu::{inb, outb};

const INDEX: u16 = 0x70;
const DATA: u16 = 0x71;
const STATUS_A: u8 = 10;
const STATUS_B: u8 = 11;
const UPDATING: u8 = 0x80;
const BINARY: u8 = 4;
const HOURS_24: u8 = 2;
const AFTERNOON: u8 = 0x80;
/// Times an unstable reading is repeated.
const TRIES: usize = 1000;

fn register(index: u8) -> u8 {
    outb(INDEX, index);
    inb(DATA)
}

/// Second, minute, hour, day, month, year as the clock has them.
fn raw() -> [u8; 6] {
    [0, 2, 4, 7, 8, 9].map(register)
}

/// Seconds since 1970, in the clock's time zone, which is taken to be UTC.
pub(super) fn read_unix_seconds() -> u64 {
    for _ in 0..TRIES {
        if register(STATUS_A) & UPDATING == 0 {
            let first = raw();
            if first == raw() {
                return to_unix(first, register(STATUS_B));
            }
        }
        core::hint::spin_loop();
    }
    0
}

fn to_unix(raw: [u8; 6], status: u8) -> u64 {
    let decode = |value: u8| {
        let value = u64::from(value);
        if status & BINARY != 0 {
            value
        } else {
            (value >> 4) * 10 + (value & 15)
        }
    };
    let hour = decode(raw[2] & !AFTERNOON);
    let hour = match (status & HOURS_24 != 0, raw[2] & AFTERNOON != 0) {
        (true, _) => hour,
        (false, false) => hour % 12,
        (false, true) => hour % 12 + 12,
    };
    let days = days_since_1970(2000 + decode(raw[5]), decode(raw[4]), decode(raw[3]));
    ((days * 24 + hour) * 60 + decode(raw[1])) * 60 + decode(raw[0])
}

/// Days from 1970-01-01 to a date of this century.
fn days_since_1970(year: u64, month: u64, day: u64) -> u64 {
    const BEFORE_MONTH: [u64; 12] = [0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334];
    let leap_days = (year - 1969) / 4;
    let this_leap = u64::from(year % 4 == 0 && month > 2);
    let month_start = BEFORE_MONTH[(month.max(1) - 1) as usize % 12];
    (year - 1970) * 365 + leap_days + month_start + this_leap + day.max(1) - 1
}
