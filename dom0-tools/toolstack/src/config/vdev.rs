//! Names and numbers of virtual disks: `xvda` is 51712.
//!
//! Read from configurations and from the words of `block-attach` and `block-detach`; the number names
//! the directories of the disk in the store. Both forms are Xen's: major 202 with sixteen partitions
//! for the first sixteen disks, and a form with a mark in bit 28 for the rest.
//!
//! Invariant: a [`Vdev`] has one name and one number, and each leads back to the other.

use super::value::shown;
use alloc::format;
use alloc::string::String;
use core::fmt;
use serde::{Serialize, Serializer};

/// Disks that have names: xvda to xvdz.
const MOST_DISKS: u32 = 26;
/// Disks and partitions of the old form.
const OLD_DISKS: u32 = 16;
const OLD_PARTITIONS: u32 = 16;
/// The major number of the old form, in its place.
const OLD_MAJOR: u32 = 202 << 8;
/// The mark of the new form, and its partitions.
const NEW_MARK: u32 = 1 << 28;
const NEW_PARTITIONS: u32 = 256;

/// A virtual disk, or a partition of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Vdev {
    disk: u32,
    /// 0 is the whole disk.
    partition: u32,
}

impl Vdev {
    /// Reads `xvda` or `xvda1`.
    ///
    /// # Errors
    /// What is wrong with it, and what to try.
    pub fn parse(name: &str) -> Result<Self, (String, &'static str)> {
        let wrong = || {
            let what = format!("'{}' is no name of a virtual disk", shown(name));
            (what, "use xvda to xvdz, for a partition with its number as in xvda1")
        };
        let Some(rest) = name.strip_prefix("xvd") else {
            return match ["hd", "sd"].iter().any(|prefix| name.starts_with(prefix)) {
                true => {
                    let what = format!(
                        "'{}' is an emulated disk, which PV guests do not have",
                        shown(name)
                    );
                    Err((what, "use xvda to xvdz"))
                }
                false => Err(wrong()),
            };
        };
        let mut letters = rest.chars();
        let letter = letters.next().filter(char::is_ascii_lowercase).ok_or_else(wrong)?;
        let digits = letters.as_str();
        let is_number =
            digits.bytes().all(|byte| byte.is_ascii_digit()) && !digits.starts_with('0');
        let partition = match digits {
            "" => 0,
            _ if is_number => digits.parse().map_err(|_| wrong())?,
            _ => return Err(wrong()),
        };
        Self::of(u32::from(letter) - u32::from('a'), partition).ok_or_else(wrong)
    }

    fn of(disk: u32, partition: u32) -> Option<Self> {
        (disk < MOST_DISKS && partition < NEW_PARTITIONS).then_some(Self { disk, partition })
    }

    /// The disk with this number, if it has a name.
    #[must_use]
    pub fn from_number(number: u32) -> Option<Self> {
        let vdev = if number & NEW_MARK != 0 {
            let rest = number & !NEW_MARK;
            Self::of(rest / NEW_PARTITIONS, rest % NEW_PARTITIONS)?
        } else {
            let rest = number.checked_sub(OLD_MAJOR)?;
            Self::of(rest / OLD_PARTITIONS, rest % OLD_PARTITIONS)?
        };
        // One disk must not have two numbers.
        (vdev.number() == number).then_some(vdev)
    }

    /// The number of the device.
    #[must_use]
    pub fn number(self) -> u32 {
        match self.disk < OLD_DISKS && self.partition < OLD_PARTITIONS {
            true => OLD_MAJOR + self.disk * OLD_PARTITIONS + self.partition,
            false => NEW_MARK + self.disk * NEW_PARTITIONS + self.partition,
        }
    }
}

impl fmt::Display for Vdev {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let letter = char::from_u32(u32::from('a') + self.disk).unwrap_or('?');
        match self.partition {
            0 => write!(f, "xvd{letter}"),
            partition => write!(f, "xvd{letter}{partition}"),
        }
    }
}

impl Serialize for Vdev {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;
    use proptest::prelude::*;

    #[test]
    fn numbers_are_those_of_xen() {
        let number = |name: &str| Vdev::parse(name).unwrap().number();
        assert_eq!(number("xvda"), 51712);
        assert_eq!(number("xvda1"), 51713);
        assert_eq!(number("xvdb"), 51728);
        assert_eq!(number("xvdp15"), 51967);
        assert_eq!(number("xvdq"), 268_439_552);
        assert_eq!(number("xvda16"), 268_435_472);
    }

    #[test]
    fn other_names_are_refused_with_what_to_try() {
        for name in [
            "",
            "xvd",
            "xvdA",
            "xvda0",
            "xvda01",
            "xvda256",
            "xvdaa",
            "xvda 1",
            "vda",
            "xvda99999999999",
        ] {
            let (what, advice) = Vdev::parse(name).unwrap_err();
            assert!(
                what.contains("is no name of a virtual disk") && advice.contains("xvda"),
                "{name}"
            );
        }
        assert!(Vdev::parse("hda").unwrap_err().0.contains("emulated"));
        assert!(Vdev::parse("sda1").unwrap_err().0.contains("emulated"));
    }

    proptest! {
        #[test]
        fn names_and_numbers_lead_to_each_other(disk in 0..MOST_DISKS, partition in 0..NEW_PARTITIONS) {
            let vdev = Vdev::of(disk, partition).unwrap();
            prop_assert_eq!(Vdev::parse(&vdev.to_string()), Ok(vdev));
            prop_assert_eq!(Vdev::from_number(vdev.number()), Some(vdev));
        }

        #[test]
        fn a_number_that_means_a_disk_is_its_number(number in any::<u32>()) {
            if let Some(vdev) = Vdev::from_number(number) {
                prop_assert_eq!(vdev.number(), number);
            }
        }
    }
}
