//! The battery clock, read once at boot.

use crate::ports;

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
    // SAFETY: selects what is read next; this is the only user of the clock.
    unsafe { ports::write_u8(INDEX, index) };
    // SAFETY: reading a register of the clock changes nothing that is used.
    unsafe { ports::read_u8(DATA) }
}

/// Second, minute, hour, day, month, year as the clock has them.
fn raw() -> [u8; 6] {
    [0, 2, 4, 7, 8, 9].map(register)
}

/// Seconds since 1970, in the clock's time zone, which is taken to be UTC; 0 without a clock.
pub(crate) fn read_unix_seconds() -> u64 {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ways_to_write_numbers_and_hours_are_understood() {
        // 2024-02-29 23:59:58
        let expected = 1_709_251_198;
        assert_eq!(to_unix([0x58, 0x59, 0x23, 0x29, 0x02, 0x24], HOURS_24), expected);
        assert_eq!(to_unix([58, 59, 23, 29, 2, 24], HOURS_24 | BINARY), expected);
        assert_eq!(to_unix([58, 59, 11 | AFTERNOON, 29, 2, 24], BINARY), expected);
        assert_eq!(to_unix([0, 0, 12, 1, 1, 0], BINARY), 946_684_800);
    }

    #[test]
    fn days_follow_each_other_through_leap_years() {
        let length = |year: u64, month: u64| match month {
            2 if year.is_multiple_of(4) => 29,
            2 => 28,
            4 | 6 | 9 | 11 => 30,
            _ => 31,
        };
        let mut expected = 10_957;
        for year in 2000..2100 {
            for month in 1..=12 {
                for day in 1..=length(year, month) {
                    assert_eq!(days_since_1970(year, month, day), expected, "{year}-{month}-{day}");
                    expected += 1;
                }
            }
        }
    }
}
