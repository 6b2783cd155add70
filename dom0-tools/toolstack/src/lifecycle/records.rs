//! Finding domains: by number, by name, and by what the person probably meant.

use super::consoles::ConsoleId;
use super::Toolstack;
use crate::client::Hypervisor;
use crate::config::keys::nearest;
use crate::config::{shown, DomainConfig, Uuid, DOM0_NAME};
use crate::console::Console;
use crate::devices::DeviceId;
use crate::error::ToolError;
use crate::staged::Contents;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use hypercall_abi::DomId;

/// One domain this toolstack created.
pub(super) struct Record<H: Hypervisor> {
    pub domain: DomId,
    pub config: DomainConfig,
    pub uuid: Uuid,
    pub created_ns: u64,
    pub console: Console<H>,
    pub console_id: ConsoleId,
    /// People attached to its console.
    pub attached: u32,
    /// Its end was handled; it is kept for inspection.
    pub has_ended: bool,
    /// Files it was made of that nobody could read again.
    pub only_copies: Vec<(String, Contents)>,
    /// Quick deaths in a row of the domains before it that it continues.
    pub quick_deaths: u32,
    /// Devices that were asked to go and have not gone yet.
    pub leaving: Vec<DeviceId>,
}

impl<H: Hypervisor + Clone> Toolstack<'_, H> {
    /// The domain a person means: a number, or a name.
    ///
    /// # Errors
    /// There is no such domain.
    pub fn find(&self, who: &str) -> Result<DomId, ToolError> {
        if who.bytes().all(|byte| byte.is_ascii_digit()) && !who.is_empty() {
            return self.find_number(who);
        }
        if who == DOM0_NAME {
            return Ok(DomId::DOM0);
        }
        match self.records.iter().find(|record| record.config.name == who) {
            Some(record) => Ok(record.domain),
            None => Err(self.no_such_name(who)),
        }
    }

    fn find_number(&self, digits: &str) -> Result<DomId, ToolError> {
        let missing = || {
            let text = format!("no domain with id {}; see 'zl list'", shown(digits));
            ToolError::no_domain(text)
        };
        let number: u16 = digits.parse().map_err(|_| missing())?;
        let domain = DomId::new(number);
        if !domain.is_real() || self.hypervisor.domain_info(domain).is_err() {
            return Err(missing());
        }
        Ok(domain)
    }

    fn no_such_name(&self, who: &str) -> ToolError {
        let names = self.records.iter().map(|record| record.config.name.as_str());
        let hint = if self.last_words.of(who).is_some() {
            format!("it has ended, its last output is in 'zl logs {who}'")
        } else {
            match nearest(who, names) {
                Some(near) => format!("did you mean '{near}'?"),
                None => String::from("see 'zl list'"),
            }
        };
        ToolError::no_domain(format!("no domain named '{}'; {hint}", shown(who)))
    }

    /// The name of a domain; `None` for one that somebody else created.
    #[must_use]
    pub fn name_of(&self, domain: DomId) -> Option<&str> {
        if domain == DomId::DOM0 {
            return Some(DOM0_NAME);
        }
        self.record(domain).map(|record| record.config.name.as_str())
    }

    /// The configuration of a domain.
    #[must_use]
    pub fn config_of(&self, domain: DomId) -> Option<&DomainConfig> {
        self.record(domain).map(|record| &record.config)
    }

    /// How long a domain exists.
    #[must_use]
    pub fn uptime_ns(&self, domain: DomId) -> Option<u64> {
        let now_ns = self.hypervisor.now_ns();
        match domain {
            DomId::DOM0 => Some(now_ns),
            _ => self.record(domain).map(|record| now_ns.saturating_sub(record.created_ns)),
        }
    }

    /// Names of all domains this toolstack created, for completion.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.records.iter().map(|record| record.config.name.as_str())
    }

    pub(super) fn record(&self, domain: DomId) -> Option<&Record<H>> {
        self.records.iter().find(|record| record.domain == domain)
    }

    pub(super) fn record_mut(&mut self, domain: DomId) -> Option<&mut Record<H>> {
        self.records.iter_mut().find(|record| record.domain == domain)
    }

    pub(super) fn check_name_is_free(&self, name: &str) -> Result<(), ToolError> {
        match self.records.iter().find(|record| record.config.name == name) {
            None => Ok(()),
            Some(record) => Err(ToolError::failed(format!(
                "the name '{name}' is taken by domain {}; destroy it, or create with name=...",
                record.domain
            ))),
        }
    }
}
