//! `zl create`.

use super::{After, Session, Stopwatch};
use crate::command::{Command, Talk, LEAVE};
use crate::json;
use alloc::format;
use alloc::string::String;
use zl_toolstack::client::Hypervisor;
use zl_toolstack::config::keys::nearest;
use zl_toolstack::config::{read_config, shown, ReadConfig};
use zl_toolstack::lifecycle::StartMode;
use zl_toolstack::staged::{beside, is_path};
use zl_toolstack::ToolError;

impl<H: Hypervisor + Clone> Session<'_, '_, H> {
    pub(super) fn create(&mut self, command: &Command) -> Result<After, ToolError> {
        let Command::Create { file, overrides, attach, paused, dry_run, talk } = command else {
            return Ok(After::Nothing);
        };
        if *talk != Talk::Quiet {
            self.line(&format!("Parsing config from {}", shown(file)));
        }
        let read = self.read(file, overrides)?;
        for warning in &read.warnings {
            if *talk != Talk::Quiet {
                self.line(&format!("zl: warning: {warning}"));
            }
        }
        self.findings.warnings.extend(read.warnings);
        if *dry_run {
            self.findings.is_document = true;
            self.line(&json::config(&read.config));
            return Ok(After::Nothing);
        }
        let name = read.config.name.clone();
        let mode = if *paused { StartMode::Paused } else { StartMode::Running };
        // What is wrong may be in the file, so the file is named.
        let in_file = |error: ToolError| {
            let text = format!("{}: {}", shown(file), error.text);
            ToolError { text, ..error }
        };
        let since_ns = self.stack.hypervisor().now_ns();
        let created = self.stack.create(read.config, mode).map_err(in_file)?;
        let what = format!("{name} (id {})", created.domain);
        let stopwatch = (*talk == Talk::Verbose).then_some(Stopwatch { what, since_ns });
        // Back halves may have been ready, or have failed, already.
        let verdict = created.wait.and_then(|wait| self.stack.verdict(wait));
        verdict.clone().unwrap_or(Ok(())).map_err(in_file)?;
        self.acted(created.domain);
        let console = match attach {
            true => Some((self.stack.attach(created.domain)?, LEAVE)),
            false => None,
        };
        if let (Some(wait), None) = (created.wait, verdict) {
            return Ok(After::WaitDevices { wait, console, created: stopwatch });
        }
        if let Some(stopwatch) = stopwatch {
            let line = stopwatch.line(self.stack.hypervisor().now_ns());
            self.print(&line);
        }
        let attach = |(console, leave)| After::Attach { console, leave };
        Ok(console.map_or(After::Nothing, attach))
    }

    fn read(&self, file: &str, overrides: &[String]) -> Result<ReadConfig, ToolError> {
        let archive = self.stack.archive();
        let bytes = self.stack.file(file).ok_or_else(|| {
            if is_path(file) {
                return ToolError::failed(self.stack.missing(file));
            }
            let with_ending = format!("{file}.cfg");
            let configs = archive.files().map(|(name, _)| name).filter(|name| is_config(name));
            let hint = match archive.get(&with_ending) {
                Some(_) => format!("did you mean '{}'?", shown(&with_ending)),
                None => match nearest(file, configs) {
                    Some(near) => format!("did you mean '{near}'?"),
                    None => String::from("see 'ls' for its files"),
                },
            };
            let file = shown(file);
            ToolError::failed(format!("{file}: no such file in the boot archive; {hint}"))
        })?;
        let mut read = read_config(file, bytes, overrides)?;
        self.look_beside(file, &mut read.config.kernel);
        if let Some(ramdisk) = &mut read.config.ramdisk {
            self.look_beside(file, ramdisk);
        }
        Ok(read)
    }

    /// Makes a relative name a path if the file lies beside the configuration.
    fn look_beside(&self, config: &str, name: &mut String) {
        if let Some(path) = beside(config, name).filter(|path| self.stack.file(path).is_some()) {
            *name = path;
        }
    }
}

/// Whether a file is named like a configuration.
#[must_use]
pub(crate) fn is_config(name: &str) -> bool {
    name.ends_with(".cfg")
}
