//! Ethernet addresses of virtual network cards.
//!
//! Read from configurations and made for cards whose configuration gives none, as `xl` does: Xen's
//! prefix and three bytes that follow from the domain's UUID, so that a restart keeps them.

use super::policy::Uuid;
use super::value::shown;
use alloc::format;
use alloc::string::String;
use core::fmt;
use serde::{Serialize, Serializer};

/// The prefix of Xen's addresses.
const XEN_PREFIX: [u8; 3] = [0x00, 0x16, 0x3e];

/// The address of one card.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mac(pub [u8; 6]);

impl Mac {
    /// Reads six bytes of two hexadecimal digits with colons between.
    ///
    /// # Errors
    /// What is wrong with it, and what to try.
    pub fn parse(text: &str) -> Result<Self, (String, &'static str)> {
        let wrong = || {
            let what = format!("'{}' is no MAC address", shown(text));
            (what, "write six bytes as in 00:16:3e:12:34:56, or leave mac out to get one")
        };
        let mut bytes = [0; 6];
        let mut parts = text.split(':');
        for byte in &mut bytes {
            let part = parts.next().filter(|part| part.len() == 2).ok_or_else(wrong)?;
            let is_hex = part.bytes().all(|digit| digit.is_ascii_hexdigit());
            *byte = u8::from_str_radix(part, 16).ok().filter(|_| is_hex).ok_or_else(wrong)?;
        }
        if parts.next().is_some() {
            return Err(wrong());
        }
        if bytes[0] & 1 != 0 {
            let what = format!("'{}' is an address of many cards", shown(text));
            return Err((what, "the first byte must be even, as in 00:16:3e:12:34:56"));
        }
        if bytes == [0; 6] {
            return Err(wrong());
        }
        Ok(Self(bytes))
    }

    /// An address for card `index` of the domain with this UUID; `attempt` counts up while it is used.
    #[must_use]
    pub fn from_uuid(uuid: Uuid, index: u32, attempt: u32) -> Self {
        // FNV-1a: short, and every input bit reaches every one of the three bytes.
        let seeds = index.to_le_bytes().into_iter().chain(attempt.to_le_bytes());
        let hash = uuid.0.into_iter().chain(seeds).fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
        });
        let mixed = (hash ^ (hash >> 32)).to_le_bytes();
        // Xen keeps the upper half of its prefix for other uses.
        let [a, b, c] = XEN_PREFIX;
        Self([a, b, c, mixed[0] & 0x7f, mixed[1], mixed[2]])
    }
}

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl Serialize for Mac {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;
    use alloc::vec::Vec;
    use proptest::prelude::*;

    #[test]
    fn bad_addresses_are_refused() {
        let bad = [
            "",
            "00:16:3e:12:34",
            "00:16:3e:12:34:56:78",
            "0:16:3e:12:34:56",
            "+1:16:3e:12:34:56",
            "00-16-3e-12-34-56",
            "00:00:00:00:00:00",
            "gg:16:3e:12:34:56",
        ];
        for text in bad {
            assert!(Mac::parse(text).unwrap_err().0.contains("is no MAC address"), "{text}");
        }
        assert!(Mac::parse("ff:ff:ff:ff:ff:ff").unwrap_err().0.contains("many cards"));
        assert!(Mac::parse("01:00:5e:00:00:01").unwrap_err().0.contains("many cards"));
    }

    #[test]
    fn made_addresses_are_xens_and_differ() {
        let uuid = Uuid::from_seed(7);
        let mut all: Vec<Mac> = (0..8)
            .flat_map(|index| (0..4).map(move |attempt| (index, attempt)))
            .map(|(index, attempt)| Mac::from_uuid(uuid, index, attempt))
            .collect();
        assert!(all.iter().all(|mac| mac.to_string().starts_with("00:16:3e:") && mac.0[3] < 0x80));
        assert_eq!(all[0], Mac::from_uuid(uuid, 0, 0));
        all.sort();
        all.dedup();
        assert_eq!(all.len(), 32);
    }

    proptest! {
        #[test]
        fn addresses_survive_printing_and_reading(mut bytes in any::<[u8; 6]>()) {
            bytes[0] = bytes[0] & 0xfe | 2;
            let mac = Mac(bytes);
            prop_assert_eq!(Mac::parse(&mac.to_string()), Ok(mac));
            prop_assert_eq!(Mac::parse(&mac.to_string().to_uppercase()), Ok(mac));
        }
    }
}
