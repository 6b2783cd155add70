//! The rate limit of a virtual network card, as `xl` writes it: `10Mb/s`, `1GB/s@50ms`.
//!
//! The backend gets credit in portions: so many bytes, then again after so many microseconds.

use super::value::shown;
use alloc::format;
use alloc::string::{String, ToString};
use core::fmt;
use serde::{Serialize, Serializer};

/// The time between two portions when the configuration does not say.
const DEFAULT_INTERVAL_US: u32 = 50_000;
const US_PER_S: u128 = 1_000_000;

/// A limit that lets `bytes` pass every `interval_us`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Bytes of a portion.
    pub bytes: u64,
    /// Microseconds between two portions.
    pub interval_us: u32,
}

impl Rate {
    /// Reads `NUMBER[K|M|G](b|B)/s[@NUMBER(us|ms|s)]`; b is for bits, B for bytes.
    ///
    /// # Errors
    /// What is wrong with it, and what to try.
    pub fn parse(text: &str) -> Result<Self, (String, &'static str)> {
        const ADVICE: &str = "write for example 10Mb/s (bits), 1GB/s (bytes) or 250KB/s@20ms";
        let wrong = || (format!("'{}' is no rate", shown(text)), ADVICE);
        let (speed, interval) = match text.split_once('@') {
            Some((speed, interval)) => (speed, interval_us(interval).ok_or_else(wrong)?),
            None => (text, DEFAULT_INTERVAL_US),
        };
        let bytes_per_s = bytes_per_second(speed).ok_or_else(wrong)?;
        let portion = u128::from(bytes_per_s) * u128::from(interval) / US_PER_S;
        match u64::try_from(portion) {
            Ok(0) => {
                let what = format!("'{}' lets less than a byte pass in its interval", shown(text));
                Err((what, ADVICE))
            }
            Ok(bytes) => Ok(Self { bytes, interval_us: interval }),
            Err(_) => Err(wrong()),
        }
    }

    /// As the backend reads it: bytes, a comma, microseconds.
    #[must_use]
    pub fn store_value(self) -> String {
        format!("{},{}", self.bytes, self.interval_us)
    }
}

fn bytes_per_second(text: &str) -> Option<u64> {
    let text = text.strip_suffix("/s")?;
    let (text, per_byte) = match text.strip_suffix('B') {
        Some(text) => (text, 1),
        None => (text.strip_suffix('b')?, 8),
    };
    let (digits, factor) = match text.as_bytes().last()? {
        b'K' | b'k' => (text.get(..text.len() - 1)?, 1_000),
        b'M' => (text.get(..text.len() - 1)?, 1_000_000),
        b'G' => (text.get(..text.len() - 1)?, 1_000_000_000),
        _ => (text, 1),
    };
    Some(number(digits)?.checked_mul(factor)? / per_byte)
}

fn interval_us(text: &str) -> Option<u32> {
    let (digits, factor) = if let Some(digits) = text.strip_suffix("us") {
        (digits, 1)
    } else if let Some(digits) = text.strip_suffix("ms") {
        (digits, 1_000)
    } else {
        (text.strip_suffix('s')?, 1_000_000)
    };
    let us = number(digits)?.checked_mul(factor)?;
    u32::try_from(us).ok().filter(|us| *us > 0)
}

/// Digits only: no sign, no blanks.
fn number(digits: &str) -> Option<u64> {
    let is_number = digits.bytes().all(|byte| byte.is_ascii_digit());
    digits.parse().ok().filter(|_| is_number)
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let per_s = u128::from(self.bytes) * US_PER_S / u128::from(self.interval_us.max(1));
        write!(f, "{per_s}B/s@{}us", self.interval_us)
    }
}

impl Serialize for Rate {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn rates_are_read_as_xl_reads_them() {
        let value = |text: &str| Rate::parse(text).unwrap().store_value();
        assert_eq!(value("10Mb/s"), "62500,50000");
        assert_eq!(value("10Mb/s@50ms"), "62500,50000");
        assert_eq!(value("1GB/s"), "50000000,50000");
        assert_eq!(value("250KB/s@20ms"), "5000,20000");
        assert_eq!(value("1MB/s@20ms"), "20000,20000");
        assert_eq!(value("800b/s@1s"), "100,1000000");
        assert_eq!(value("1000000B/s@1us"), "1,1");
    }

    #[test]
    fn anything_else_is_refused() {
        for text in [
            "",
            "10",
            "10Mb",
            "10 Mb/s",
            "-1Mb/s",
            "10Tb/s",
            "10Mb/s@",
            "10Mb/s@50",
            "10Mb/s@0ms",
            "Mb/s",
            "99999999999999999999b/s",
            "18446744073709551615GB/s",
            "1b/s@9999s",
        ] {
            assert!(Rate::parse(text).is_err(), "{text}");
        }
        assert!(Rate::parse("1b/s").unwrap_err().0.contains("less than a byte"));
    }

    proptest! {
        #[test]
        fn the_portion_never_exceeds_the_rate(amount in 1u64..1_000_000, unit in 0usize..4, ms in 1u32..5000) {
            let (name, factor) = [("B", 1u128), ("KB", 1000), ("MB", 1_000_000), ("GB", 1_000_000_000)][unit];
            if let Ok(rate) = Rate::parse(&format!("{amount}{name}/s@{ms}ms")) {
                let exact = u128::from(amount) * factor * u128::from(ms);
                prop_assert!(u128::from(rate.bytes) * 1000 <= exact);
                prop_assert!((u128::from(rate.bytes) + 1) * 1000 > exact);
            }
        }

        #[test]
        fn no_text_panics(text in "[0-9KMGbB/s@um.]{0,24}") {
            let _ = Rate::parse(&text);
        }
    }
}
