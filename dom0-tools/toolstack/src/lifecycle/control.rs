//! Creating, destroying, pausing, renaming: what verbs do to domains.

use super::home::{self, Facts, Home};
use super::records::Record;
use super::waits::{WaitId, What};
use super::{attachments, Toolstack};
use crate::builder::{build, Request};
use crate::client::Hypervisor;
use crate::config::keys::nearest;
use crate::config::{check_name, shown, DomainConfig, Uuid};
use crate::console::Console;
use crate::devices;
use crate::error::ToolError;
use crate::staged::is_path;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use hypercall_abi::domctl::GetDomainInfo;
use hypercall_abi::{DomId, Errno};
use pv_xenbus::Registry;

/// Whether a new domain runs at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StartMode {
    /// At once.
    Running,
    /// When it is unpaused.
    Paused,
}

/// A domain that was created.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Created {
    /// Its number.
    pub domain: DomId,
    /// How long its creation took, up to here.
    pub elapsed_ns: u64,
    /// It waits for its devices; the verdict of this says whether it has started.
    pub wait: Option<WaitId>,
}

/// One domain as `zl list` shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DomainRow {
    /// Its name; `None` for a domain that somebody else created or that is almost gone.
    pub name: Option<String>,
    /// What the hypervisor says about it.
    pub info: GetDomainInfo,
}

/// A domain that is started again keeps some of its former life.
#[derive(Clone, Copy)]
pub(super) struct FormerLife {
    pub uuid: Option<Uuid>,
    pub quick_deaths: u32,
}

impl<H: Hypervisor + Clone> Toolstack<'_, H> {
    /// Creates a domain.
    ///
    /// # Errors
    /// What prevented it; nothing is left of the domain then.
    pub fn create(&mut self, config: DomainConfig, mode: StartMode) -> Result<Created, ToolError> {
        self.create_again(config, mode, None)
    }

    pub(super) fn create_again(
        &mut self,
        mut config: DomainConfig,
        mode: StartMode,
        former: Option<FormerLife>,
    ) -> Result<Created, ToolError> {
        let started_ns = self.hypervisor.now_ns();
        self.check_name_is_free(&config.name)?;
        let uuid = former.and_then(|former| former.uuid).or(config.uuid).unwrap_or_else(|| {
            self.uuid_seed = self.uuid_seed.wrapping_add(1);
            Uuid::from_seed(self.uuid_seed ^ started_ns.rotate_left(32))
        });
        self.settle_devices(uuid, &mut config)?;
        let kernel = self.file_for("kernel", &config.kernel)?;
        let ramdisk = match &config.ramdisk {
            Some(name) => Some(self.file_for("ramdisk", name)?),
            None => None,
        };
        let hypervisor = self.hypervisor.clone();
        let request = Request { config: &config, uuid, kernel, ramdisk };
        let paused = build(&hypervisor, &request)?;
        let domain = paused.domain();
        let (store, console) = (paused.store(), paused.console());
        let facts = Facts { domain, uuid, config: &config, store, console };
        let home = Home::make(self.store, &facts)?;
        let console = Console::connect(hypervisor.clone(), domain, console)?;
        let has_devices = !config.disks.is_empty() || !config.vifs.is_empty();
        if has_devices {
            devices::attach(self.store, domain, &attachments::all(&config))?;
        } else if mode == StartMode::Running {
            hypervisor.unpause_domain(domain).map_err(|errno| unpause_failed(domain, errno))?;
        }
        let _released = paused.release();
        home.keep();
        let console_id = self.new_console_id();
        let created_ns = hypervisor.now_ns();
        let named = core::iter::once(&config.kernel).chain(config.ramdisk.as_ref());
        let only_copies = self.staged.only_copies(named);
        self.records.push(Record {
            domain,
            config,
            uuid,
            created_ns,
            console,
            console_id,
            attached: 0,
            has_ended: false,
            only_copies,
            quick_deaths: former.map_or(0, |former| former.quick_deaths),
            leaving: Vec::new(),
        });
        // A restart is nobody's verb: what goes wrong becomes a notice.
        let is_asked = former.is_none();
        let wait = has_devices.then(|| self.wait_for(What::Start(domain, mode), is_asked));
        Ok(Created { domain, elapsed_ns: created_ns.saturating_sub(started_ns), wait })
    }

    fn file_for(&self, key: &str, name: &str) -> Result<&[u8], ToolError> {
        self.file(name).ok_or_else(|| {
            let missing = self.missing(name);
            ToolError::failed(format!("{key}: {missing}"))
        })
    }

    /// Says that a file is not there, and what to try.
    #[must_use]
    pub fn missing(&self, name: &str) -> String {
        if is_path(name) {
            return format!("no file '{}' on the disk; see 'ls /'", shown(name));
        }
        let advice = match nearest(name, self.archive.files().map(|(name, _)| name)) {
            Some(near) => format!("did you mean '{near}'?"),
            None => String::from("see 'ls' for its files"),
        };
        format!("no file '{}' in the boot archive; {advice}", shown(name))
    }

    /// Destroys a domain.
    ///
    /// # Errors
    /// The hypervisor refused.
    pub fn destroy(&mut self, domain: DomId) -> Result<(), ToolError> {
        refuse_dom0(domain, "destroyed", "use 'poweroff' to end the whole machine")?;
        self.destroy_as(domain, "destroyed")
    }

    /// Pauses a domain.
    ///
    /// # Errors
    /// The hypervisor refused.
    pub fn pause(&self, domain: DomId) -> Result<(), ToolError> {
        refuse_dom0(domain, "paused", "nobody could unpause it")?;
        self.refuse_starting(domain)?;
        self.hypervisor.pause_domain(domain).map_err(|errno| {
            let argument = format_args!("domain={domain}");
            ToolError::hypercall("domctl pausedomain", argument, errno, "see 'zl list'")
        })
    }

    /// A domain that waits for its devices is paused and unpaused by that.
    fn refuse_starting(&self, domain: DomId) -> Result<(), ToolError> {
        match self.is_starting(domain) {
            true => {
                let text = format!("domain {domain} waits for its devices; try again soon");
                Err(ToolError::refused(text))
            }
            false => Ok(()),
        }
    }

    /// Lets a paused domain run.
    ///
    /// # Errors
    /// It was not paused, or the hypervisor refused.
    pub fn unpause(&self, domain: DomId) -> Result<(), ToolError> {
        refuse_dom0(domain, "unpaused", "it is never paused")?;
        self.refuse_starting(domain)?;
        self.hypervisor.unpause_domain(domain).map_err(|errno| unpause_failed(domain, errno))
    }

    /// Gives a domain another name.
    ///
    /// # Errors
    /// The name cannot be used, or the domain is not one of ours.
    pub fn rename(&mut self, domain: DomId, name: &str) -> Result<(), ToolError> {
        refuse_dom0(domain, "renamed", "its name is fixed")?;
        check_name(name)
            .map_err(|(what, advice)| ToolError::failed(format!("{what}; {advice}")))?;
        self.check_name_is_free(name)?;
        let store = self.store;
        match self.record_mut(domain) {
            Some(record) => {
                record.config.name = name.into();
                tell_name(store, domain, record.uuid, name)
            }
            None => {
                let text = format!("domain {domain} was not created here; see 'zl list'");
                Err(ToolError::refused(text))
            }
        }
    }

    /// All domains, by number.
    ///
    /// # Errors
    /// The hypervisor refused.
    pub fn list(&self) -> Result<Vec<DomainRow>, ToolError> {
        let infos = self.hypervisor.domain_list().map_err(|errno| {
            let advice = "this must run in the control domain";
            ToolError::hypercall("sysctl getdomaininfolist", format_args!("all"), errno, advice)
        })?;
        let row = |info: GetDomainInfo| DomainRow {
            name: self.name_of(info.domain).map(String::from),
            info,
        };
        Ok(infos.into_iter().map(row).collect())
    }

    /// One domain.
    ///
    /// # Errors
    /// It does not exist.
    pub fn row(&self, domain: DomId) -> Result<DomainRow, ToolError> {
        let info = self.hypervisor.domain_info(domain).map_err(|errno| {
            let argument = format_args!("domain={domain}");
            ToolError::hypercall("domctl getdomaininfo", argument, errno, "see 'zl list'")
        })?;
        Ok(DomainRow { name: self.name_of(domain).map(String::from), info })
    }

    /// Whether nothing of a domain is left, not even in the hypervisor.
    #[must_use]
    pub fn is_gone(&self, domain: DomId) -> bool {
        self.hypervisor.domain_info(domain) == Err(Errno::ESRCH)
    }

    /// Whether a domain has ended: gone, or kept for inspection.
    #[must_use]
    pub fn has_ended(&self, domain: DomId) -> bool {
        self.is_gone(domain) || self.record(domain).is_some_and(|record| record.has_ended)
    }
}

pub(super) fn refuse_dom0(domain: DomId, what: &str, advice: &str) -> Result<(), ToolError> {
    match domain {
        DomId::DOM0 => Err(ToolError::refused(format!("Domain-0 cannot be {what}; {advice}"))),
        _ => Ok(()),
    }
}

pub(super) fn tell_name(
    store: &dyn Registry,
    domain: DomId,
    uuid: Uuid,
    name: &str,
) -> Result<(), ToolError> {
    home::rename(store, domain, uuid, name).map_err(|errno| {
        let argument = format_args!("/local/domain/{domain}/name");
        ToolError::hypercall("xenstore write", argument, errno, "see 'zl xenstore-ls'")
    })
}

pub(super) fn unpause_failed(domain: DomId, errno: Errno) -> ToolError {
    let advice = match errno {
        Errno::EINVAL => "it is not paused",
        _ => "see 'zl list'",
    };
    ToolError::hypercall("domctl unpausedomain", format_args!("domain={domain}"), errno, advice)
}
