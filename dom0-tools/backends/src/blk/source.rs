//! What a disk is made of, as the store says it.
//!
//! `type` and `params` of the back half's directory: `phy` with a disk of dom0, `file` with a path on
//! dom0's disk, `ram` with a size, or with a size and a name (`64M@scratch`) for memory that stays when
//! its user goes. `params` may repeat the type, as configurations write it (`ram:64M`).

use alloc::format;
use alloc::string::{String, ToString};

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
            Self::Ram { name: Some(name), bytes } => write!(f, "ram:{}K@{name}", bytes / 1024),
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
    let params = match params.split_once(':') {
        Some((prefix, rest)) if prefix == kind => rest,
        _ => params,
    };
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
    let (size, name) = match params.split_once('@') {
        Some((size, name)) => (size, Some(name)),
        None => (params, None),
    };
    let bytes = size_of(size).filter(|bytes| (4096..=MAX_RAM).contains(bytes));
    let bytes = bytes.ok_or_else(|| {
        format!("ram:{params}: a size from 4K to 64G is expected, for example ram:64M")
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

/// A number with K, M or G behind it, in whole pages.
fn size_of(text: &str) -> Option<u64> {
    let (digits, shift) = match text.char_indices().last()? {
        (at, 'k' | 'K') => (text.get(..at)?, 10),
        (at, 'm' | 'M') => (text.get(..at)?, 20),
        (at, 'g' | 'G') => (text.get(..at)?, 30),
        _ => (text, 0),
    };
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    let number: u64 = is_number.then(|| digits.parse().ok())??;
    number.checked_mul(1 << shift)?.checked_next_multiple_of(4096)
}
