//! Verbs that look at domains: lists, names, times.

use super::{After, Session, Vcpu};
use crate::command::Output;
use crate::{format as xl, json};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use hypercall_abi::domctl::INVALID_MAX_VCPU_ID;
use hypercall_abi::{DomId, VcpuId};
use zl_toolstack::client::{Affinity, Hypervisor};
use zl_toolstack::lifecycle::DomainRow;
use zl_toolstack::ToolError;

/// The last lines of some output; a last one without an end counts.
fn last_lines(bytes: &[u8], lines: Option<usize>) -> &[u8] {
    let Some(lines) = lines else { return bytes };
    if lines == 0 {
        return &[];
    }
    let body = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    let ends = body.iter().enumerate().rev().filter(|(_, byte)| **byte == b'\n');
    let start = ends.map(|(at, _)| at + 1).nth(lines - 1).unwrap_or(0);
    bytes.get(start..).unwrap_or(&[])
}

impl<H: Hypervisor + Clone> Session<'_, '_, H> {
    /// The domains with these names, or all. A name that means nothing is complained about and the
    /// rest is shown.
    fn rows(&mut self, who: &[String]) -> Result<Vec<DomainRow>, ToolError> {
        if who.is_empty() {
            return self.stack.list();
        }
        let mut rows = Vec::new();
        for name in who {
            match self.stack.find(name).and_then(|domain| self.stack.row(domain)) {
                Ok(row) => rows.push(row),
                Err(error) => self.complain(&error),
            }
        }
        Ok(rows)
    }

    pub(super) fn list(
        &mut self,
        who: &[String],
        long: bool,
        verbose: bool,
        output: Output,
    ) -> Result<(), ToolError> {
        let rows = self.rows(who)?;
        if rows.is_empty() {
            return Ok(());
        }
        if long {
            let config =
                |row: &DomainRow| (row.info.domain.get(), self.stack.config_of(row.info.domain));
            let text = json::list_long(&rows.iter().map(config).collect::<Vec<_>>());
            self.line(&text);
            return Ok(());
        }
        match output {
            Output::Json => self.line(&json::list(&rows)),
            Output::Name => rows.iter().for_each(|row| self.line(xl::name(row))),
            Output::Table => self.list_table(&rows, verbose),
        }
        Ok(())
    }

    fn list_table(&mut self, rows: &[DomainRow], verbose: bool) {
        self.print(xl::LIST_HEADER);
        if verbose {
            self.print(xl::LIST_HEADER_VERBOSE);
        }
        self.line("");
        for row in rows {
            self.print(&xl::list_line(row));
            if verbose {
                self.print(&xl::list_line_verbose(row));
            }
            self.line("");
        }
    }

    pub(super) fn domid(&mut self, name: &str) -> Result<(), ToolError> {
        let domain = self.stack.find(name)?;
        self.acted(domain);
        self.line(&format!("{domain}"));
        Ok(())
    }

    pub(super) fn domname(&mut self, id: &str) -> Result<(), ToolError> {
        let domain = self.stack.find(id)?;
        match self.stack.name_of(domain).map(String::from) {
            Some(name) => {
                self.acted(domain);
                self.line(&name);
                Ok(())
            }
            None => {
                let what = format!("domain {domain} has no name: it was not created here");
                Err(ToolError::no_domain(what + "; see 'zl list'"))
            }
        }
    }

    pub(super) fn uptime(
        &mut self,
        who: &[String],
        short: bool,
        output: Output,
    ) -> Result<(), ToolError> {
        let mut rows = Vec::new();
        for row in self.rows(who)? {
            let domain = row.info.domain;
            if let Some(uptime_ns) = self.stack.uptime_ns(domain) {
                rows.push((String::from(xl::name(&row)), domain.get(), uptime_ns));
            }
        }
        if output == Output::Json {
            self.line(&json::uptime(&rows));
            return Ok(());
        }
        if output == Output::Table && !short && !rows.is_empty() {
            self.line(&xl::uptime_header());
        }
        for (name, domain, uptime_ns) in &rows {
            match (output, short) {
                (Output::Name, _) => self.line(name),
                (_, true) => self.line(&xl::uptime_short(name, *domain, *uptime_ns)),
                (_, false) => self.line(&xl::uptime_line(name, *domain, *uptime_ns)),
            }
        }
        Ok(())
    }

    pub(super) fn vcpu_list(&mut self, who: &[String], output: Output) -> Result<(), ToolError> {
        let nr_cpus = self.physinfo()?.nr_cpus;
        let mut vcpus = Vec::new();
        for row in self.rows(who)? {
            self.vcpus_of(&row, &mut vcpus);
        }
        match output {
            Output::Json => self.line(&json::vcpus(&vcpus, nr_cpus)),
            Output::Name => vcpus.iter().for_each(|vcpu| self.line(&vcpu.name)),
            Output::Table => {
                self.line(&xl::vcpu_header());
                for Vcpu { name, domain, info, affinity } in &vcpus {
                    self.line(&xl::vcpu_line(name, *domain, info, *affinity, nr_cpus));
                }
            }
        }
        Ok(())
    }

    fn vcpus_of(&self, row: &DomainRow, vcpus: &mut Vec<Vcpu>) {
        let max_id = row.info.max_vcpu_id;
        if max_id == INVALID_MAX_VCPU_ID {
            return;
        }
        let (hypervisor, domain) = (self.stack.hypervisor(), row.info.domain);
        for id in (0..=max_id).map(VcpuId::new) {
            // A number without a vCPU behind it, or a domain that just went, is skipped.
            let Ok(info) = hypervisor.vcpu_info(domain, id) else { continue };
            let anywhere = Affinity { hard: u64::MAX, soft: u64::MAX };
            let affinity = hypervisor.vcpu_affinity(domain, id).unwrap_or(anywhere);
            let name = String::from(xl::name(row));
            vcpus.push(Vcpu { name, domain: domain.get(), info, affinity });
        }
    }

    pub(super) fn logs(
        &mut self,
        who: &str,
        follow: bool,
        lines: Option<usize>,
    ) -> Result<After, ToolError> {
        if who == "0" || self.stack.find(who) == Ok(DomId::DOM0) {
            let what = "Domain-0 keeps no log of its console; see 'zl dmesg' for the hypervisor's";
            return Err(ToolError::refused(what));
        }
        let live = self.stack.find(who).ok().filter(|_| follow);
        if let Some(console) = live.and_then(|domain| self.stack.attach(domain).ok()) {
            let held = self.stack.read_console(console, 0);
            let place =
                held.map_or(0, |held| held.next - last_lines(&held.bytes, lines).len() as u64);
            return Ok(After::Follow { console, place });
        }
        let bytes = self.stack.logs(who)?;
        let shown = last_lines(&bytes, lines);
        self.print(&String::from_utf8_lossy(shown));
        if shown.last().is_some_and(|last| *last != b'\n') {
            self.line("");
        }
        Ok(After::Nothing)
    }
}
