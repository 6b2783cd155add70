//! What a disk is made of, as the store says it.
//!
//! `type` and `params` of the back half's directory: `phy` with a disk of dom0, `file` with a path on
//! dom0's disk, `ram` with a size, or with a name and a size (`scratch:64M`) for memory that stays when
//! its user goes.

use alloc::format;
use alloc::string::{String, ToString};

/// A disk in memory is whole pages.
const PAGE: u64 = 4096;
/// Largest disk in memory: what fits a control domain of any sensible size.
const MAX_RAM: u64 = 1 << 36;
/// Longest name of a disk in memory.
const MAX_NAME: usize = 32;

/// What a disk is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// Memory of dom0.
    Ram {
        /// Whom it is known by when its user is gone; without a name it goes, too.
        name: Option<String>,
        /// Its size, whole sectors.
        bytes: u64,
    },
    /// A disk of dom0, whole.
    Physical(String),
    /// A file on dom0's disk.
    File(String),
}

impl core::fmt::Display for Source {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Ram { name: None, bytes } => write!(f, "ram:{}K", bytes / 1024),
            Self::Ram { name: Some(name), bytes } => write!(f, "ram:{name}:{}K", bytes / 1024),
            Self::Physical(name) => write!(f, "phy:{name}"),
            Self::File(path) => write!(f, "file:{path}"),
        }
    }
}

/// Reads the store's words.
///
/// # Errors
/// One line that says what is wrong and what would be right.
pub fn parse(kind: &str, params: &str) -> Result<Source, String> {
    match kind {
        "phy" | "vbd" if !params.is_empty() => {
            Ok(Source::Physical(params.strip_prefix("/dev/").unwrap_or(params).to_string()))
        }
        "file" if params.starts_with('/') => Ok(Source::File(params.to_string())),
        "ram" => ram(params),
        "phy" | "vbd" => Err("phy: no disk is named; 'devices' lists dom0's disks".to_string()),
        "file" => Err(format!("file:{params}: the path must begin with '/'")),
        _ => Err(format!("type {kind}: unknown; phy, file and ram are possible")),
    }
}

fn ram(params: &str) -> Result<Source, String> {
    let (name, size) = match params.split_once(':') {
        Some((name, size)) => (Some(name), size),
        None => (None, params),
    };
    let bytes = size_of(size).filter(|bytes| (PAGE..=MAX_RAM).contains(bytes));
    let bytes = bytes.ok_or_else(|| {
        format!("ram:{params}: whole pages from 4K to 64G are expected, for example ram:64M")
    })?;
    let is_name = |name: &str| {
        let fits = (1..=MAX_NAME).contains(&name.len());
        fits && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
    };
    match name {
        Some(name) if !is_name(name) => Err(format!(
            "ram:{params}: a name has 1 to {MAX_NAME} letters, digits, '-', '_' and '.'"
        )),
        name => Ok(Source::Ram { name: name.map(ToString::to_string), bytes }),
    }
}

/// A number with K, M or G behind it, of whole pages.
fn size_of(text: &str) -> Option<u64> {
    let (digits, shift) = match text.char_indices().last()? {
        (at, 'k' | 'K') => (text.get(..at)?, 10),
        (at, 'm' | 'M') => (text.get(..at)?, 20),
        (at, 'g' | 'G') => (text.get(..at)?, 30),
        _ => (text, 0),
    };
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    let number: u64 = is_number.then(|| digits.parse().ok())??;
    number.checked_mul(1 << shift).filter(|bytes| bytes.is_multiple_of(PAGE))
}
