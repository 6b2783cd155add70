//! The typed configuration of a domain.
//!
//! `DomainConfig::read` turns settings into it for `zl create`; `builder` and `lifecycle` use it.
//! Every value is checked here, once, so that no later step meets a number out of range.
//!
//! Files are only named here: whether a kernel exists is found out when it is opened.

use super::disk::DiskConfig;
use super::policy::{Action, Uuid};
use super::reader::Reader;
use super::value::{shown, ConfigError, Setting};
use super::vif::VifConfig;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use serde::Serialize;

/// Memory of a domain whose configuration does not say, as with `xl`.
pub const DEFAULT_MEMORY_MIB: u64 = 32;
/// Largest memory a configuration may ask for: 16 TiB.
pub const MOST_MEMORY_MIB: u64 = 16 << 20;
/// Longest name of a domain.
pub const LONGEST_NAME: usize = 63;
/// Longest command line of a kernel: its field in the start page, less the final NUL.
pub const LONGEST_CMDLINE: usize = 1023;
/// The name of the control domain.
pub const DOM0_NAME: &str = "Domain-0";

/// What to do when a domain ends, by the way it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct EndActions {
    /// It powered itself off.
    pub on_poweroff: Action,
    /// It asked for a reboot.
    pub on_reboot: Action,
    /// It crashed.
    pub on_crash: Action,
    /// Its watchdog expired.
    pub on_watchdog: Action,
}

impl Default for EndActions {
    fn default() -> Self {
        Self {
            on_poweroff: Action::Destroy,
            on_reboot: Action::Restart,
            on_crash: Action::Destroy,
            on_watchdog: Action::Destroy,
        }
    }
}

/// Everything that is known about a domain before it exists.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DomainConfig {
    /// Its name.
    pub name: String,
    /// Its unique number, when the configuration gives one.
    pub uuid: Option<Uuid>,
    /// The file of its kernel.
    pub kernel: String,
    /// The file of its ramdisk.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ramdisk: Option<String>,
    /// The command line of its kernel.
    pub cmdline: String,
    /// Memory it starts with.
    pub memory_mib: u64,
    /// Memory it may grow to.
    pub maxmem_mib: u64,
    /// Number of its vCPUs.
    pub vcpus: u32,
    /// Share of the processors relative to other domains; 256 is usual.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_weight: Option<u16>,
    /// Most processor time, in percent of one processor; 0 is no limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cap: Option<u16>,
    /// Most frames of its grant table; the hypervisor's default when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_grant_frames: Option<u32>,
    /// Most frames of its table of mapped grants; the hypervisor's default when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_maptrack_frames: Option<u32>,
    /// Number of its event channels.
    pub max_event_channels: u32,
    /// Its disks.
    #[serde(rename = "disk", skip_serializing_if = "Vec::is_empty")]
    pub disks: Vec<DiskConfig>,
    /// Its network cards.
    #[serde(rename = "vif", skip_serializing_if = "Vec::is_empty")]
    pub vifs: Vec<VifConfig>,
    /// What to do when it ends.
    #[serde(flatten)]
    pub end: EndActions,
}

/// A configuration together with what a person should know about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadConfig {
    /// The configuration.
    pub config: DomainConfig,
    /// One line each.
    pub warnings: Vec<String>,
}

impl DomainConfig {
    /// Reads settings; `file` is named in complaints about `settings`, `overrides` come from the
    /// command line and win.
    ///
    /// # Errors
    /// The first key or value that cannot be used.
    pub fn read(
        file: &str,
        settings: &[Setting],
        overrides: &[Setting],
    ) -> Result<ReadConfig, ConfigError> {
        let mut reader = Reader::new(file, settings, overrides);
        reader.check_keys()?;
        reader.check_kind()?;
        let config = Self {
            name: reader.name()?,
            uuid: reader.uuid()?,
            kernel: reader.required_text("kernel", "kernel = \"hello\"")?,
            ramdisk: reader.text("ramdisk")?.filter(|ramdisk| !ramdisk.is_empty()),
            cmdline: reader.cmdline()?,
            memory_mib: 0,
            maxmem_mib: 0,
            vcpus: reader.vcpus()?,
            cpu_weight: reader.small_number("cpu_weight", 1..=65535)?,
            cap: reader.small_number("cap", 0..=65535)?,
            max_grant_frames: reader.frames("max_grant_frames", 1)?,
            max_maptrack_frames: reader.frames("max_maptrack_frames", 0)?,
            max_event_channels: reader.event_channels()?,
            disks: reader.disks()?,
            vifs: reader.vifs()?,
            end: reader.end_actions()?,
        };
        let (memory_mib, maxmem_mib) = reader.memory()?;
        let config = Self { memory_mib, maxmem_mib, ..config };
        Ok(ReadConfig { config, warnings: reader.warnings })
    }
}

/// Checks the name of a domain; the error says what is wrong.
///
/// # Errors
/// What is wrong with it, and what to try.
pub fn check_name(name: &str) -> Result<(), (String, &'static str)> {
    let quoted = shown(name);
    if name.is_empty() {
        return Err(("the name is empty".to_string(), "write name = \"guest\""));
    }
    if name.len() > LONGEST_NAME {
        let what = format!("the name '{quoted}' has {} bytes", name.len());
        return Err((what, "use at most 63"));
    }
    if name.bytes().all(|byte| byte.is_ascii_digit()) {
        let what = format!("the name '{quoted}' is all digits and would be taken for an id");
        return Err((what, "put a letter into it"));
    }
    if name == DOM0_NAME {
        return Err((format!("the name '{quoted}' is the control domain's"), "use another name"));
    }
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.+:@".contains(&byte);
    if !name.bytes().all(allowed) {
        let what = format!("the name '{quoted}' has a character that names cannot have");
        return Err((what, "use letters, digits and _ - . + : @"));
    }
    Ok(())
}
