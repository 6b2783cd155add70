//! Disks of a domain, as `disk = [...]` and `block-attach` describe them.
//!
//! Both forms of `xl` are read: in order (`file:/images/a.img,xvda,w`) and by name
//! (`target=/images/a.img,format=raw,vdev=xvda,access=rw`). In the first a kind in front of the target
//! leaves out the place of the format, as with `xl`; without one the order is target, format, vdev, access.
//!
//! Whether the target exists is found out by the backend.

use super::value::shown;
use super::vdev::Vdev;
use alloc::format;
use alloc::string::{String, ToString};
use core::fmt;
use serde::{Serialize, Serializer};

/// Where files with a relative name lie in the control domain.
pub const IMAGES: &str = "/images";
/// Longest name of a target.
const LONGEST_TARGET: usize = 255;
/// Smallest and largest RAM disk.
const LEAST_RAM: u64 = 4096;
const MOST_RAM: u64 = 1 << 40;

/// What is wrong with a description, and what to try.
pub type Wrong = (String, &'static str);

/// What holds the bytes of a disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Backing {
    /// A file of the control domain.
    File(String),
    /// A whole disk of the machine, by its name in the control domain.
    Device(String),
    /// Memory of the control domain.
    Ram {
        /// Under this name it outlives the domain; without one it goes with the disk.
        name: Option<String>,
        /// Its size.
        bytes: u64,
    },
}

impl Backing {
    /// The word in front of the target, which is also the `type` in the store.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::File(_) => "file",
            Self::Device(_) => "phy",
            Self::Ram { .. } => "ram",
        }
    }

    /// What the backend is told: the `params` in the store.
    #[must_use]
    pub fn params(&self) -> String {
        match self {
            Self::File(path) if path.starts_with('/') => path.clone(),
            Self::File(path) => format!("{IMAGES}/{path}"),
            Self::Device(name) => name.clone(),
            Self::Ram { name: Some(name), bytes } => format!("{name}:{bytes}"),
            Self::Ram { name: None, bytes } => bytes.to_string(),
        }
    }

    fn parse(text: &str) -> Result<Self, Wrong> {
        match text.split_once(':') {
            Some(("file", path)) => file(path),
            Some(("phy", name)) => device(name),
            Some(("ram", size)) => ram(size),
            Some((
                kind @ ("tap" | "tap2" | "aio" | "qdisk" | "nbd" | "iscsi" | "drbd" | "rbd"),
                _,
            )) => {
                let what = format!("'{kind}:' needs a backend this release does not have");
                Err((what, "use file:/PATH, phy:NAME or ram:SIZE"))
            }
            Some((kind @ ("qcow" | "qcow2" | "vhd" | "qed"), _)) => Err(not_raw(kind)),
            Some(("raw", path)) => Self::parse_plain(path),
            Some((kind, _)) if !text.starts_with('/') => {
                let what = format!("'{}:' is no kind of disk", shown(kind));
                Err((what, "use file:/PATH, phy:NAME or ram:SIZE"))
            }
            _ => Self::parse_plain(text),
        }
    }

    /// A target without a kind: a device of `/dev`, or a file.
    fn parse_plain(text: &str) -> Result<Self, Wrong> {
        match text.starts_with("/dev/") {
            true => device(text),
            false => file(text),
        }
    }
}

impl fmt::Display for Backing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(target) | Self::Device(target) => write!(f, "{}:{target}", self.kind()),
            Self::Ram { .. } => write!(f, "ram:{}", self.params()),
        }
    }
}

impl Serialize for Backing {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

fn file(path: &str) -> Result<Backing, Wrong> {
    check_target(path, "write file:/images/a.img")?;
    Ok(Backing::File(path.into()))
}

fn device(name: &str) -> Result<Backing, Wrong> {
    let short = name.strip_prefix("/dev/").unwrap_or(name);
    check_target(short, "write phy:vdb; 'devices' lists the disks")?;
    Ok(Backing::Device(short.into()))
}

fn ram(text: &str) -> Result<Backing, Wrong> {
    const ADVICE: &str = "write ram:64M, or ram:NAME:64M to find it again under that name";
    let (name, size) = match text.split_once(':') {
        Some((name, size)) => (Some(name), size),
        None => (None, text),
    };
    let bytes = size_bytes(size).filter(|bytes| (LEAST_RAM..=MOST_RAM).contains(bytes));
    let Some(bytes) = bytes.filter(|bytes| bytes % LEAST_RAM == 0) else {
        let what = format!("'{}' is no size of a RAM disk", shown(size));
        return Err((what, "write 4K to 1024G in whole pages of 4K, for example ram:64M"));
    };
    if let Some(name) = name {
        let fits = !name.is_empty() && name.len() <= 32;
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        if !fits || !name.bytes().all(plain) {
            return Err((format!("'{}' is no name of a RAM disk", shown(name)), ADVICE));
        }
    }
    Ok(Backing::Ram { name: name.map(String::from), bytes })
}

/// A number of bytes with K, M or G behind it.
fn size_bytes(text: &str) -> Option<u64> {
    let (digits, shift) = match text.as_bytes().last()? {
        b'K' | b'k' => (text.get(..text.len() - 1)?, 10),
        b'M' | b'm' => (text.get(..text.len() - 1)?, 20),
        b'G' | b'g' => (text.get(..text.len() - 1)?, 30),
        _ => (text, 0),
    };
    let is_number = digits.bytes().all(|byte| byte.is_ascii_digit());
    let number: u64 = digits.parse().ok().filter(|_| is_number)?;
    number.checked_mul(1 << shift)
}

/// A name that can stand in the store and in one line.
fn check_target(target: &str, advice: &'static str) -> Result<(), Wrong> {
    if target.is_empty() {
        return Err(("the target is empty".into(), advice));
    }
    if target.len() > LONGEST_TARGET {
        return Err((format!("the target has {} bytes", target.len()), "use at most 255"));
    }
    if target.chars().any(char::is_control) {
        let what = format!("the target '{}' holds a control character", shown(target));
        return Err((what, advice));
    }
    Ok(())
}

fn not_raw(format: &str) -> Wrong {
    let what = format!("format '{}' is not read here, only raw", shown(format));
    (what, "convert it with 'qemu-img convert -O raw'")
}

/// One disk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DiskConfig {
    /// Its name in the domain.
    pub vdev: Vdev,
    /// What holds its bytes.
    pub target: Backing,
    /// Whether writes are refused.
    pub read_only: bool,
    /// Whether the guest may tell that blocks are not used any more.
    pub discard: bool,
}

/// What was said so far about one disk.
#[derive(Default)]
struct Draft {
    target: Option<Backing>,
    /// The target came with its kind, so that no format follows in order.
    has_kind: bool,
    has_format: bool,
    vdev: Option<Vdev>,
    read_only: Option<bool>,
    discard: Option<bool>,
}

impl DiskConfig {
    /// Reads a description.
    ///
    /// # Errors
    /// What is wrong with it, and what to try.
    pub fn parse(spec: &str) -> Result<Self, Wrong> {
        let mut draft = Draft::default();
        for field in spec.split(',').map(str::trim) {
            match field.split_once('=') {
                Some((key, value)) => draft.named(key.trim(), value.trim())?,
                None => draft.in_order(field)?,
            }
        }
        let missing = |what: &str| {
            let what = format!("{what} is missing in '{}'", shown(spec));
            (what, "write for example 'file:/images/a.img,xvda,w'")
        };
        Ok(Self {
            target: draft.target.ok_or_else(|| missing("the target"))?,
            vdev: draft.vdev.ok_or_else(|| missing("the name of the disk in the domain"))?,
            read_only: draft.read_only.unwrap_or(false),
            discard: draft.discard.unwrap_or(true),
        })
    }
}

impl Draft {
    fn in_order(&mut self, field: &str) -> Result<(), Wrong> {
        match field {
            "discard" => return once(&mut self.discard, true, "discard"),
            "no-discard" => return once(&mut self.discard, false, "discard"),
            "direct-io-safe" => return Ok(()),
            "cdrom" => return Err(no_cdrom()),
            _ => {}
        }
        if self.target.is_none() {
            // An empty place keeps its default; there is none for a target.
            self.has_kind = field.split_once(':').is_some_and(|(kind, _)| !kind.contains('/'));
            return self.set_target(field);
        }
        let wants_format = !self.has_kind && !self.has_format && self.vdev.is_none();
        if wants_format {
            self.has_format = true;
            return if field.is_empty() { Ok(()) } else { self.check_format(field) };
        }
        if self.vdev.is_none() {
            return self.set_vdev(field);
        }
        if self.read_only.is_none() {
            return if field.is_empty() { Ok(()) } else { self.set_access(field) };
        }
        let what = format!("'{}' is one word too many", shown(field));
        Err((what, "write target,vdev,access, for example 'file:/images/a.img,xvda,w'"))
    }

    fn named(&mut self, key: &str, value: &str) -> Result<(), Wrong> {
        match key {
            "target" => self.set_target(value),
            "format" => {
                self.has_format = true;
                self.check_format(value)
            }
            "vdev" => self.set_vdev(value),
            "access" => self.set_access(value),
            "devtype" if value == "disk" => Ok(()),
            "devtype" if value == "cdrom" => Err(no_cdrom()),
            "devtype" => {
                Err((format!("'{}' is no type of disk", shown(value)), "write devtype=disk"))
            }
            "backendtype" if matches!(value, "phy" | "qdisk" | "standalone") => Ok(()),
            "backendtype" => {
                let what = format!("backend type '{}' does not exist here", shown(value));
                Err((what, "leave backendtype out"))
            }
            "backend" if matches!(value, "0" | super::DOM0_NAME) => Ok(()),
            "backend" => {
                let what = format!(
                    "'{}' is no backend domain, disks are served by Domain-0",
                    shown(value)
                );
                Err((what, "leave backend out"))
            }
            "script" => {
                let what = format!(
                    "the script '{}' cannot be run, there are no scripts here",
                    shown(value)
                );
                Err((what, "leave script out"))
            }
            _ => {
                let what = format!("unknown word '{}'", shown(key));
                Err((what, "known are target, format, vdev, access, discard and no-discard"))
            }
        }
    }

    fn set_target(&mut self, text: &str) -> Result<(), Wrong> {
        once(&mut self.target, Backing::parse(text)?, "target")
    }

    fn set_vdev(&mut self, text: &str) -> Result<(), Wrong> {
        once(&mut self.vdev, Vdev::parse(text)?, "vdev")
    }

    fn set_access(&mut self, text: &str) -> Result<(), Wrong> {
        let read_only = match text {
            "r" | "ro" => true,
            "w" | "rw" => false,
            _ => {
                let what = format!("access '{}' is neither reading nor writing", shown(text));
                return Err((what, "write r or w"));
            }
        };
        once(&mut self.read_only, read_only, "access")
    }

    fn check_format(&self, format: &str) -> Result<(), Wrong> {
        match format {
            "raw" => Ok(()),
            _ => Err(not_raw(format)),
        }
    }
}

fn no_cdrom() -> Wrong {
    let what = String::from("cdrom: PV guests have no drives whose media change");
    (what, "attach the image as a disk with access r")
}

fn once<T>(place: &mut Option<T>, value: T, what: &str) -> Result<(), Wrong> {
    match place.replace(value) {
        None => Ok(()),
        Some(_) => Err((format!("{what} is given twice"), "give it once")),
    }
}

#[cfg(test)]
#[path = "disk_tests.rs"]
mod tests;
