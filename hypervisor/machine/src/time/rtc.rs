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
    let reading = || (register(STATUS_A) & UPDATING == 0).then(raw);
    let stable = (0..TRIES).find_map(|_| reading().filter(|first| reading() == Some(*first)));
    stable.map_or(0, |raw| to_unix(raw, register(STATUS_B)))
}

fn to_unix(raw: [u8; 6], status: u8) -> u64 {
    let decode = |value: u8| match status & BINARY {
        0 => u64::from(value >> 4) * 10 + u64::from(value & 15),
        _ => u64::from(value),
    };
    let mut hour = decode(raw[2] & !AFTERNOON);
    if status & HOURS_24 == 0 {
        hour = hour % 12 + if raw[2] & AFTERNOON != 0 { 12 } else { 0 };
    }
    let days = days_since_1970(2000 + decode(raw[5]), decode(raw[4]), decode(raw[3]));
    ((days * 24 + hour) * 60 + decode(raw[1])) * 60 + decode(raw[0])
}

/// Days from 1970-01-01 to a date of this century.
fn days_since_1970(year: u64, month: u64, day: u64) -> u64 {
    const BEFORE_MONTH: [u64; 12] = [0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334];
    let leap_days = (year - 1969) / 4;
    let this_leap = u64::from(year.is_multiple_of(4) && month > 2);
    let month_start = BEFORE_MONTH[(month.max(1) - 1) as usize % 12];
    (year - 1970) * 365 + leap_days + month_start + this_leap + day.max(1) - 1
}
