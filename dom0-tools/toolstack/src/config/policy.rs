//! What to do with a domain that ended, and the unique number of a domain.
//!
//! Both are words of the configuration with a fixed spelling; `domain` reads them, `lifecycle` acts
//! on the first.

use alloc::format;
use alloc::string::String;
use core::fmt;
use serde::{Serialize, Serializer};

/// What to do with a domain that shut down or crashed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    /// Give everything back.
    Destroy,
    /// Destroy it and create it again from the same configuration.
    Restart,
    /// Keep it, stopped, for inspection.
    Preserve,
    /// Keep it under another name and create it again.
    RenameRestart,
}

impl Action {
    const ALL: [Self; 4] = [Self::Destroy, Self::Restart, Self::Preserve, Self::RenameRestart];

    /// The word of the configuration.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Destroy => "destroy",
            Self::Restart => "restart",
            Self::Preserve => "preserve",
            Self::RenameRestart => "rename-restart",
        }
    }

    /// The action with this name.
    ///
    /// # Errors
    /// What is wrong with the word, and what to try.
    pub fn from_word(word: &str) -> Result<Self, (String, &'static str)> {
        if let Some(action) = Self::ALL.into_iter().find(|action| action.word() == word) {
            return Ok(action);
        }
        match word {
            "coredump-destroy" | "coredump-restart" => Err((
                format!("'{word}': core dumps are not written in this release"),
                "use preserve to keep the domain, or destroy or restart",
            )),
            "soft-reset" => Err((
                format!("'{word}' exists for HVM guests only"),
                "use destroy, restart, preserve or rename-restart",
            )),
            _ => Err((
                format!("'{}' is not an action", super::value::shown(word)),
                "use destroy, restart, preserve or rename-restart",
            )),
        }
    }
}

/// The unique number of a domain, which survives a restart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Uuid(pub [u8; 16]);

impl Uuid {
    /// A random-looking number in the format of version 4, made from `seed`.
    #[must_use]
    pub fn from_seed(seed: u64) -> Self {
        let mut bytes = [0; 16];
        for (half, chunk) in bytes.chunks_exact_mut(8).enumerate() {
            chunk.copy_from_slice(&split_mix(seed, half as u64 + 1).to_le_bytes());
        }
        bytes[6] = bytes[6] & 0x0f | 0x40;
        bytes[8] = bytes[8] & 0x3f | 0x80;
        Self(bytes)
    }

    /// Reads the usual form of 32 hexadecimal digits, with or without hyphens.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut digits = text.chars().filter(|character| *character != '-');
        let mut bytes = [0; 16];
        for byte in &mut bytes {
            let high = digits.next()?.to_digit(16)?;
            let low = digits.next()?.to_digit(16)?;
            *byte = u8::try_from(high * 16 + low).ok()?;
        }
        digits.next().is_none().then_some(Self(bytes))
    }
}

/// One step of the splitmix64 generator: good mixing, nothing secret.
fn split_mix(seed: u64, step: u64) -> u64 {
    let mut mixed = seed.wrapping_add(step.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

impl fmt::Display for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, byte) in self.0.iter().enumerate() {
            if matches!(index, 4 | 6 | 8 | 10) {
                f.write_str("-")?;
            }
            write!(f, "{byte:02x}")?;
        }
        Ok(())
    }
}

impl Serialize for Uuid {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn uuids_survive_printing_and_reading() {
        for seed in 0..100 {
            let uuid = Uuid::from_seed(seed);
            assert_eq!(Uuid::parse(&uuid.to_string()), Some(uuid));
            assert_ne!(uuid, Uuid::from_seed(seed + 1));
        }
    }

    #[test]
    fn bad_uuids_are_refused() {
        for text in ["", "12", "zz345678-1234-1234-1234-123456789012", "00"] {
            assert_eq!(Uuid::parse(text), None);
        }
        let long = "12345678-1234-1234-1234-1234567890123";
        assert_eq!(Uuid::parse(long), None);
    }

    #[test]
    fn every_action_reads_its_own_word() {
        for action in Action::ALL {
            assert_eq!(Action::from_word(action.word()), Ok(action));
        }
        assert!(Action::from_word("coredump-destroy").unwrap_err().0.contains("core dumps"));
    }
}
