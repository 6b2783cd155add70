//! The typed configuration of a domain.
//!
//! `DomainConfig::read` turns settings into it for `zl create`; `builder` and `lifecycle` use it.
//! Every value is checked here, once, so that no later step meets a number out of range.
//!
//! Files are only named here: whether a kernel exists is found out when it is opened.

use super::keys::{kind_of, nearest_key, KeyKind};
use super::parse::COMMAND_LINE;
use super::policy::{Action, Uuid};
use super::value::{shown, ConfigError, Setting, Value, ValueKind};
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
        let mut reader = Reader { file, settings, overrides, warnings: Vec::new() };
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

struct Reader<'a> {
    file: &'a str,
    settings: &'a [Setting],
    overrides: &'a [Setting],
    warnings: Vec<String>,
}

/// A setting and where it was written.
#[derive(Clone, Copy)]
struct Found<'a> {
    origin: &'a str,
    key: &'a str,
    value: &'a Value,
}

impl<'a> Found<'a> {
    fn complaint(&self, what: String, advice: &str) -> ConfigError {
        ConfigError {
            origin: self.origin.into(),
            at: (self.origin != COMMAND_LINE).then_some(self.value.at),
            what: format!("{}: {what}", self.key),
            advice: advice.into(),
        }
    }
}

impl<'a> Reader<'a> {
    fn all(&self) -> impl Iterator<Item = (&'a str, &'a Setting)> {
        let file = self.file;
        let from_file = self.settings.iter().map(move |setting| (file, setting));
        from_file.chain(self.overrides.iter().map(|setting| (COMMAND_LINE, setting)))
    }

    fn find(&self, key: &'static str) -> Option<Found<'a>> {
        self.all().filter(|(_, setting)| setting.key == key).last().map(|(origin, setting)| Found {
            origin,
            key,
            value: &setting.value,
        })
    }

    fn check_keys(&mut self) -> Result<(), ConfigError> {
        for (index, setting) in self.settings.iter().enumerate() {
            let earlier = self.settings.iter().take(index).find(|other| other.key == setting.key);
            if let Some(earlier) = earlier {
                self.warnings.push(format!(
                    "{}:{}: '{}' was set in line {} before; the later value is used",
                    self.file, setting.at.line, setting.key, earlier.at.line
                ));
            }
        }
        for (origin, setting) in self.all() {
            self.check_key(origin, setting)?;
        }
        Ok(())
    }

    fn check_key(&mut self, origin: &'a str, setting: &'a Setting) -> Result<(), ConfigError> {
        let key = setting.key.as_str();
        let place = match origin {
            COMMAND_LINE => origin.to_string(),
            _ => format!("{origin}:{}", setting.at.line),
        };
        match kind_of(key) {
            Some(KeyKind::Used) => Ok(()),
            Some(KeyKind::NotForPv) => {
                let text = format!("{place}: '{key}' has no meaning on a PV-only hypervisor");
                self.warnings.push(text + "; ignored");
                Ok(())
            }
            Some(KeyKind::Ignored) => {
                self.warnings
                    .push(format!("{place}: '{key}' is not used in this release; ignored"));
                Ok(())
            }
            Some(KeyKind::NoBackend) => match &setting.value.kind {
                ValueKind::List(items) if items.is_empty() => Ok(()),
                ValueKind::Text(text) if text.is_empty() => Ok(()),
                _ => Err(ConfigError {
                    origin: origin.into(),
                    at: (origin != COMMAND_LINE).then_some(setting.at),
                    what: format!("'{key}' asks for a device this release does not provide"),
                    advice: format!("remove the line or write {key} = []"),
                }),
            },
            None => Err(unknown_key(origin, setting)),
        }
    }

    fn check_kind(&self) -> Result<(), ConfigError> {
        if let Some((found, text)) = self.text_at("type")? {
            if text != "pv" {
                let what = format!("'{}' guests do not run on a PV-only hypervisor", shown(text));
                return Err(found.complaint(what, "write type = \"pv\""));
            }
        }
        if let Some((found, text)) = self.text_at("builder")? {
            if text != "generic" && text != "linux" {
                let what = format!("'{}' does not build PV guests", shown(text));
                return Err(found.complaint(what, "write type = \"pv\" and drop builder"));
            }
        }
        Ok(())
    }

    fn text_at(&self, key: &'static str) -> Result<Option<(Found<'a>, &'a str)>, ConfigError> {
        let Some(found) = self.find(key) else { return Ok(None) };
        match &found.value.kind {
            ValueKind::Text(text) => Ok(Some((found, text))),
            other => {
                let what = format!("expected a string, found {}", other.describe());
                Err(found.complaint(what, &format!("write {key} = \"...\"")))
            }
        }
    }

    fn text(&self, key: &'static str) -> Result<Option<String>, ConfigError> {
        Ok(self.text_at(key)?.map(|(_, text)| text.to_string()))
    }

    fn required_text(&self, key: &'static str, example: &str) -> Result<String, ConfigError> {
        match self.text(key)? {
            Some(text) if !text.is_empty() => Ok(text),
            _ => Err(ConfigError {
                origin: self.file.into(),
                at: None,
                what: format!("the key '{key}' is missing"),
                advice: format!("add a line {example}"),
            }),
        }
    }

    /// A number, also when it is written as a string, as `xl` accepts it.
    fn number(
        &self,
        key: &'static str,
        range: core::ops::RangeInclusive<u64>,
    ) -> Result<Option<u64>, ConfigError> {
        let Some(found) = self.find(key) else { return Ok(None) };
        let number = match &found.value.kind {
            ValueKind::Number(number) => *number,
            ValueKind::Text(text) => super::lex::parse_number(text).ok_or_else(|| {
                let what = format!("'{}' is not a number", shown(text));
                found.complaint(what, &format!("write {key} = {}", range.start()))
            })?,
            list @ ValueKind::List(_) => {
                let what = format!("expected a number, found {}", list.describe());
                return Err(found.complaint(what, &format!("write {key} = {}", range.start())));
            }
        };
        if range.contains(&number) {
            return Ok(Some(number));
        }
        let what = format!("{number} is out of range");
        Err(found.complaint(what, &format!("use {} to {}", range.start(), range.end())))
    }

    fn small_number(
        &self,
        key: &'static str,
        range: core::ops::RangeInclusive<u64>,
    ) -> Result<Option<u16>, ConfigError> {
        Ok(self.number(key, range)?.and_then(|number| u16::try_from(number).ok()))
    }

    fn frames(&self, key: &'static str, least: u64) -> Result<Option<u32>, ConfigError> {
        Ok(self.number(key, least..=65535)?.and_then(|number| u32::try_from(number).ok()))
    }

    fn name(&self) -> Result<String, ConfigError> {
        if let Some(found) = self.find("name") {
            if let ValueKind::Number(number) = found.value.kind {
                let what = format!("the number {number} would be taken for a domain id");
                return Err(found.complaint(what, "write name = \"guest\""));
            }
        }
        let name = self.required_text("name", "name = \"guest\"")?;
        match (check_name(&name), self.find("name")) {
            (Err((what, advice)), Some(found)) => Err(found.complaint(what, advice)),
            _ => Ok(name),
        }
    }

    fn uuid(&self) -> Result<Option<Uuid>, ConfigError> {
        let Some((found, text)) = self.text_at("uuid")? else { return Ok(None) };
        Uuid::parse(text).map(Some).ok_or_else(|| {
            let what = format!("'{}' is not a UUID", shown(text));
            found.complaint(what, "write 32 hexadecimal digits as 8-4-4-4-12, or drop the line")
        })
    }

    /// `cmdline` alone, or `root` and `extra` joined, as `xl` does it.
    fn cmdline(&mut self) -> Result<String, ConfigError> {
        let root = self.text_at("root")?;
        let extra = self.text_at("extra")?;
        let (found, cmdline) = match (self.text_at("cmdline")?, root, extra) {
            (Some((found, cmdline)), root, extra) => {
                if root.is_some() || extra.is_some() {
                    let text = format!("{}: root and extra are ignored", self.file);
                    self.warnings.push(text + ": cmdline is given");
                }
                (found, cmdline.to_string())
            }
            (None, Some((found, root)), None) => (found, format!("root={root}")),
            (None, None, Some((found, extra))) => (found, extra.to_string()),
            (None, Some((_, root)), Some((found, extra))) => {
                (found, format!("root={root} {extra}"))
            }
            (None, None, None) => return Ok(String::new()),
        };
        if cmdline.len() > LONGEST_CMDLINE {
            let what = format!("the command line has {} bytes", cmdline.len());
            return Err(found.complaint(what, "at most 1023 fit into the start page"));
        }
        if cmdline.contains('\0') {
            let what = "the command line holds a NUL byte".to_string();
            return Err(found.complaint(what, "remove it: it would end the line early"));
        }
        Ok(cmdline)
    }

    fn vcpus(&self) -> Result<u32, ConfigError> {
        for key in ["vcpus", "maxvcpus"] {
            let Some(count) = self.number(key, 1..=8192)? else { continue };
            if let (true, Some(found)) = (count > 1, self.find(key)) {
                let what = format!("{count} vCPUs, but this release runs guests with one");
                return Err(found.complaint(what, &format!("write {key} = 1")));
            }
        }
        Ok(1)
    }

    fn memory(&self) -> Result<(u64, u64), ConfigError> {
        let range = 1..=MOST_MEMORY_MIB;
        let given = self.number("memory", range.clone())?;
        let most = self.number("maxmem", range)?;
        // As with xl, either key stands for the other when that one is missing.
        let memory = given.or(most).unwrap_or(DEFAULT_MEMORY_MIB);
        let maxmem = most.unwrap_or(memory);
        match self.find("maxmem") {
            Some(found) if maxmem < memory => {
                let what = format!("{maxmem} MiB is less than memory = {memory}");
                Err(found.complaint(what, "raise maxmem or lower memory"))
            }
            _ => Ok((memory, maxmem)),
        }
    }

    fn event_channels(&self) -> Result<u32, ConfigError> {
        // The last port is given to the hypervisor; the tools' usual last port is 1023.
        let count = self.number("max_event_channels", 3..=131_071)?.unwrap_or(1023);
        Ok(u32::try_from(count).unwrap_or(1023))
    }

    fn action(&self, key: &'static str, default: Action) -> Result<Action, ConfigError> {
        let Some((found, word)) = self.text_at(key)? else { return Ok(default) };
        Action::from_word(word).map_err(|(what, advice)| found.complaint(what, advice))
    }

    fn end_actions(&self) -> Result<EndActions, ConfigError> {
        let default = EndActions::default();
        Ok(EndActions {
            on_poweroff: self.action("on_poweroff", default.on_poweroff)?,
            on_reboot: self.action("on_reboot", default.on_reboot)?,
            on_crash: self.action("on_crash", default.on_crash)?,
            on_watchdog: self.action("on_watchdog", default.on_watchdog)?,
        })
    }
}

fn unknown_key(origin: &str, setting: &Setting) -> ConfigError {
    let advice = match nearest_key(&setting.key) {
        Some(near) => format!("did you mean '{near}'?"),
        None => "see 'help config' for the keys".to_string(),
    };
    ConfigError {
        origin: origin.into(),
        at: (origin != COMMAND_LINE).then_some(setting.at),
        what: format!("unknown key '{}'", shown(&setting.key)),
        advice,
    }
}
