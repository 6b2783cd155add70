//! What happens when domains end.
//!
//! The watcher of the control domain calls `handle_ends` whenever the hypervisor says that some
//! domain changed. The hypervisor does not say which, so all are looked at.

use super::consoles::Finished;
use super::control::{tell_name, FormerLife, StartMode};
use super::home;
use super::policy::{decide, reason_word, Death, Verdict};
use super::Toolstack;
use crate::client::Hypervisor;
use crate::config::domain::LONGEST_NAME;
use crate::config::{Action, DomainConfig};
use crate::devices;
use crate::error::ToolError;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use hypercall_abi::domctl::{Dominf, GetDomainInfo};
use hypercall_abi::{DomId, Errno};

impl<H: Hypervisor + Clone> Toolstack<'_, H> {
    /// Acts on every domain that ended since the last call.
    pub fn handle_ends(&mut self) {
        let infos = match self.hypervisor.domain_list() {
            Ok(infos) => infos,
            Err(errno) => {
                // The next event brings another chance.
                self.notice(format!("sysctl getdomaininfolist failed: {}", errno.name()));
                return;
            }
        };
        let known: Vec<DomId> = self.records.iter().map(|record| record.domain).collect();
        for domain in known {
            let info = infos.iter().find(|info| info.domain == domain);
            match info {
                Some(info) if !info.flags.contains(Dominf::DYING) => self.handle_end(domain, info),
                _ => self.forget(domain, "was destroyed"),
            }
        }
    }

    fn handle_end(&mut self, domain: DomId, info: &GetDomainInfo) {
        let now_ns = self.hypervisor.now_ns();
        let Some(reason) = info.flags.shutdown_reason() else { return };
        self.store.domain_ended(domain);
        let Some(record) = self.record_mut(domain) else { return };
        if record.has_ended {
            return;
        }
        record.has_ended = true;
        record.console.pump();
        let death = Death {
            reason,
            age_ns: now_ns.saturating_sub(record.created_ns),
            quick_deaths: record.quick_deaths,
        };
        let verdict = decide(&record.config.end, &death);
        let intro = format!(
            "{} (id {domain}) {} after {}.{:03} s",
            record.config.name,
            reason_word(reason),
            death.age_ns / 1_000_000_000,
            death.age_ns / 1_000_000 % 1000
        );
        let result = self.carry_out(domain, &death, verdict);
        let what = match (&result, verdict.gave_up) {
            (Ok(what), false) => what.clone(),
            (Ok(what), true) => format!("{what}, not restarted: it died quickly 3 times in a row"),
            (Err(error), _) => format!("but: {error}"),
        };
        self.notice(format!("{intro}; {what}"));
    }

    fn carry_out(
        &mut self,
        domain: DomId,
        death: &Death,
        verdict: Verdict,
    ) -> Result<String, ToolError> {
        let how = reason_word(death.reason);
        match verdict.action {
            Action::Destroy => {
                self.destroy_as(domain, how)?;
                Ok(String::from("destroyed"))
            }
            Action::Preserve => Ok(format!("kept; remove it with 'zl destroy {domain}'")),
            Action::Restart => self.restart(domain, how, death),
            Action::RenameRestart => self.rename_and_restart(domain, death),
        }
    }

    fn restart(&mut self, domain: DomId, how: &str, death: &Death) -> Result<String, ToolError> {
        let record = self.record(domain).ok_or_else(|| ToolError::failed("the record is gone"))?;
        let (config, uuid) = (record.config.clone(), record.uuid);
        self.stage_only_copies(domain);
        self.destroy_as(domain, how)?;
        let former = FormerLife { uuid: Some(uuid), quick_deaths: death.quick_deaths_now() };
        let created = self.create_again(config, StartMode::Running, Some(former))?;
        Ok(format!("restarted as id {}", created.domain))
    }

    fn rename_and_restart(&mut self, domain: DomId, death: &Death) -> Result<String, ToolError> {
        let record = self.record(domain).ok_or_else(|| ToolError::failed("the record is gone"))?;
        // The domain that is kept keeps its unique number, so the new one gets a new one.
        let config = DomainConfig { uuid: None, ..record.config.clone() };
        self.stage_only_copies(domain);
        let kept = self.rename_ended(domain)?;
        // Its devices are the new one's.
        devices::remove_all(self.store, domain);
        if let Some(record) = self.record_mut(domain) {
            record.config.disks.clear();
            record.config.vifs.clear();
        }
        let former = FormerLife { uuid: None, quick_deaths: death.quick_deaths_now() };
        let created = self.create_again(config, StartMode::Running, Some(former))?;
        Ok(format!("kept as '{kept}' and restarted as id {}", created.domain))
    }

    /// Puts the files ready that only this domain has, for the one that continues it.
    fn stage_only_copies(&mut self, domain: DomId) {
        let record = self.record(domain);
        let copies = record.map_or_else(Vec::new, |record| record.only_copies.clone());
        for (name, contents) in copies {
            self.staged.add_only_copy(&name, contents);
        }
    }

    /// Frees the name of a domain that is kept.
    fn rename_ended(&mut self, domain: DomId) -> Result<String, ToolError> {
        let old = self.name_of(domain).unwrap_or("domain");
        let suffix = format!("-ended-{domain}");
        let room = LONGEST_NAME.saturating_sub(suffix.len());
        let kept = format!("{}{suffix}", old.get(..old.len().min(room)).unwrap_or("domain"));
        self.check_name_is_free(&kept)?;
        let store = self.store;
        if let Some(record) = self.record_mut(domain) {
            record.config.name.clone_from(&kept);
            tell_name(store, domain, record.uuid, &kept)?;
        }
        Ok(kept)
    }

    /// Destroys a domain; `how` is what its console says at the end.
    pub(super) fn destroy_as(&mut self, domain: DomId, how: &str) -> Result<(), ToolError> {
        match self.hypervisor.destroy_domain(domain) {
            // One that is gone already only has to be forgotten.
            Ok(()) | Err(Errno::ESRCH) => {}
            Err(errno) => {
                let argument = format_args!("domain={domain}");
                let call = "domctl destroydomain";
                return Err(ToolError::hypercall(call, argument, errno, "try again"));
            }
        }
        self.forget(domain, how);
        Ok(())
    }

    /// Drops the record of a domain that is dead. Its console is drained first: the page is still
    /// mapped here, and only now its frame goes.
    fn forget(&mut self, domain: DomId, how: &str) {
        let Some(index) = self.records.iter().position(|record| record.domain == domain) else {
            return;
        };
        let record = self.records.remove(index);
        self.records.shrink_to_fit();
        let is_shared = self.records.iter().any(|other| other.uuid == record.uuid);
        devices::remove_all(self.store, domain);
        self.end_waits_of(domain);
        home::remove(self.store, domain, (!is_shared).then_some(record.uuid));
        let scrollback = record.console.into_scrollback();
        self.last_words.remember(&record.config.name, &scrollback);
        if record.attached > 0 {
            let (id, attached, how) = (record.console_id, record.attached, String::from(how));
            self.finished.push(Finished { id, scrollback, attached, how });
        }
    }
}
