//! `block-*` and `network-*`.

use super::{After, Session};
use crate::command::Output;
use crate::devices::DeviceCommand;
use crate::{format as xl, json};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use hypercall_abi::DomId;
use zl_toolstack::client::Hypervisor;
use zl_toolstack::devices::{DiskRow, Kind, VifRow};
use zl_toolstack::lifecycle::WaitId;
use zl_toolstack::ToolError;

/// What is shown of the devices of one domain.
pub(crate) struct Listed<Row> {
    /// Its name.
    pub name: Option<String>,
    /// Its number.
    pub domain: DomId,
    /// Its devices.
    pub rows: Vec<Row>,
}

impl<H: Hypervisor + Clone> Session<'_, '_, H> {
    pub(super) fn devices(&mut self, command: &DeviceCommand) -> Result<After, ToolError> {
        match command {
            DeviceCommand::AttachDisk { who, disk } => {
                let domain = self.stack.find(who)?;
                let wait = self.stack.attach_disk(domain, disk.clone())?;
                self.wait(domain, wait)
            }
            DeviceCommand::AttachVif { who, vif, warnings } => {
                for warning in warnings {
                    self.line(&format!("zl: warning: {warning}; ignored"));
                }
                self.findings.warnings.extend(warnings.iter().cloned());
                let domain = self.stack.find(who)?;
                let wait = self.stack.attach_vif(domain, vif.clone())?;
                self.wait(domain, wait)
            }
            DeviceCommand::Detach { who, kind, device, force } => {
                let domain = self.stack.find(who)?;
                let id = match kind {
                    Kind::Vbd => self.stack.find_disk(domain, device)?,
                    Kind::Vif => self.stack.find_vif(domain, device)?,
                };
                match self.stack.detach_device(id, *force)? {
                    Some(wait) => self.wait(domain, wait),
                    None => {
                        self.acted(domain);
                        Ok(After::Nothing)
                    }
                }
            }
            DeviceCommand::List { who, kind, output } => {
                match kind {
                    Kind::Vbd => self.list_disks(who, *output),
                    Kind::Vif => self.list_vifs(who, *output),
                }
                Ok(After::Nothing)
            }
        }
    }

    /// What has a verdict already needs no waiting.
    fn wait(&mut self, domain: DomId, wait: WaitId) -> Result<After, ToolError> {
        let after = match self.stack.verdict(wait) {
            Some(verdict) => verdict.map(|()| After::Nothing)?,
            None => After::WaitDevices { wait, console: None, created: None },
        };
        self.acted(domain);
        Ok(after)
    }

    /// The domains that are meant; a name that means nothing is complained about.
    fn listed<Row>(
        &mut self,
        who: &[String],
        rows: impl Fn(&Self, DomId) -> Vec<Row>,
    ) -> Vec<Listed<Row>> {
        let mut all = Vec::new();
        for name in who {
            match self.stack.find(name) {
                Ok(domain) => {
                    let name = self.stack.name_of(domain).map(String::from);
                    all.push(Listed { name, domain, rows: rows(self, domain) });
                }
                Err(error) => self.complain(&error),
            }
        }
        all
    }

    fn list_disks(&mut self, who: &[String], output: Output) {
        let all = self.listed(who, |session, domain| session.stack.disks(domain));
        if all.is_empty() {
            return;
        }
        let rows = || all.iter().flat_map(|one| one.rows.iter().map(|row| (one.domain, row)));
        match output {
            Output::Json => self.line(&json::disks(&all)),
            Output::Name => rows().for_each(|(_, row): (_, &DiskRow)| self.line(&row.name)),
            Output::Table => {
                self.line(&xl::disk_header());
                rows().for_each(|(domain, row)| self.line(&xl::disk_line(domain, row)));
            }
        }
    }

    fn list_vifs(&mut self, who: &[String], output: Output) {
        let all = self.listed(who, |session, domain| session.stack.vifs(domain));
        if all.is_empty() {
            return;
        }
        let rows = || all.iter().flat_map(|one| one.rows.iter());
        match output {
            Output::Json => self.line(&json::vifs(&all)),
            Output::Name => rows().for_each(|row: &VifRow| self.line(&row.idx.to_string())),
            Output::Table => {
                self.line(&xl::vif_header());
                rows().for_each(|row| self.line(&xl::vif_line(row)));
            }
        }
    }
}
