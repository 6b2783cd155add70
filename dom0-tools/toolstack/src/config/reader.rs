//! Gets typed values out of settings.
//!
//! Used by `domain` only: one method per value of a configuration. The file and the command line are
//! one list in which the last setting of a key counts; each complaint names where that one stands.

use super::domain::{check_name, EndActions, DEFAULT_MEMORY_MIB, LONGEST_CMDLINE, MOST_MEMORY_MIB};
use super::keys::{kind_of, nearest_key, KeyKind};
use super::lex::parse_number;
use super::parse::COMMAND_LINE;
use super::policy::{Action, Uuid};
use super::value::{shown, ConfigError, Setting, Value, ValueKind};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

pub(super) struct Reader<'a> {
    file: &'a str,
    settings: &'a [Setting],
    overrides: &'a [Setting],
    /// What a person should know, one line each.
    pub(super) warnings: Vec<String>,
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
    pub(super) fn new(file: &'a str, settings: &'a [Setting], overrides: &'a [Setting]) -> Self {
        Self { file, settings, overrides, warnings: Vec::new() }
    }

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

    /// The value of a key that counts, and who wrote it.
    pub(super) fn value_of(&self, key: &'static str) -> Option<(&'a str, &'a Value)> {
        self.find(key).map(|found| (found.origin, found.value))
    }

    pub(super) fn check_keys(&mut self) -> Result<(), ConfigError> {
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

    pub(super) fn check_kind(&self) -> Result<(), ConfigError> {
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

    pub(super) fn text(&self, key: &'static str) -> Result<Option<String>, ConfigError> {
        Ok(self.text_at(key)?.map(|(_, text)| text.to_string()))
    }

    pub(super) fn required_text(
        &self,
        key: &'static str,
        example: &str,
    ) -> Result<String, ConfigError> {
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
            ValueKind::Text(text) => parse_number(text).ok_or_else(|| {
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

    pub(super) fn small_number(
        &self,
        key: &'static str,
        range: core::ops::RangeInclusive<u64>,
    ) -> Result<Option<u16>, ConfigError> {
        Ok(self.number(key, range)?.and_then(|number| u16::try_from(number).ok()))
    }

    pub(super) fn frames(&self, key: &'static str, least: u64) -> Result<Option<u32>, ConfigError> {
        Ok(self.number(key, least..=65535)?.and_then(|number| u32::try_from(number).ok()))
    }

    pub(super) fn name(&self) -> Result<String, ConfigError> {
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

    pub(super) fn uuid(&self) -> Result<Option<Uuid>, ConfigError> {
        let Some((found, text)) = self.text_at("uuid")? else { return Ok(None) };
        Uuid::parse(text).map(Some).ok_or_else(|| {
            let what = format!("'{}' is not a UUID", shown(text));
            found.complaint(what, "write 32 hexadecimal digits as 8-4-4-4-12, or drop the line")
        })
    }

    /// `cmdline` alone, or `root` and `extra` joined, as `xl` does it.
    pub(super) fn cmdline(&mut self) -> Result<String, ConfigError> {
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

    pub(super) fn vcpus(&self) -> Result<u32, ConfigError> {
        for key in ["vcpus", "maxvcpus"] {
            let Some(count) = self.number(key, 1..=8192)? else { continue };
            if let (true, Some(found)) = (count > 1, self.find(key)) {
                let what = format!("{count} vCPUs, but this release runs guests with one");
                return Err(found.complaint(what, &format!("write {key} = 1")));
            }
        }
        Ok(1)
    }

    pub(super) fn memory(&self) -> Result<(u64, u64), ConfigError> {
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

    pub(super) fn event_channels(&self) -> Result<u32, ConfigError> {
        // The last port is given to the hypervisor; the tools' usual last port is 1023.
        let count = self.number("max_event_channels", 3..=131_071)?.unwrap_or(1023);
        Ok(u32::try_from(count).unwrap_or(1023))
    }

    fn action(&self, key: &'static str, default: Action) -> Result<Action, ConfigError> {
        let Some((found, word)) = self.text_at(key)? else { return Ok(default) };
        Action::from_word(word).map_err(|(what, advice)| found.complaint(what, advice))
    }

    pub(super) fn end_actions(&self) -> Result<EndActions, ConfigError> {
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
