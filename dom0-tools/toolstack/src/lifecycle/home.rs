//! A domain's place in the store: the nodes every domain has, and the way to its ring.
//!
//! `control` makes it when a domain is created and `ends` removes it. What belongs to devices is in
//! `devices`. The nodes are those of `xl`: the control domain owns them and the guest may read them,
//! but for some that belong to the guest.
//!
//! Invariant: nothing of a domain is in the store, and nobody listens to its ring, before [`Home::make`]
//! succeeded, after a [`Home`] that was not kept, and after [`remove`].

use crate::builder::Channel;
use crate::config::{DomainConfig, Uuid};
use crate::devices::{self, Kind};
use crate::error::ToolError;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use hypercall_abi::{DomId, Errno};
use pv_xenbus::path::home;
use pv_xenbus::{retry, Perm, Registry, Rights, Tx};

/// Bytes of output the console service is asked to keep.
const CONSOLE_LIMIT: u64 = 1 << 20;
const KIB_PER_MIB: u64 = 1024;
/// What a guest writes into: it owns these.
const OF_THE_GUEST: [&str; 14] = [
    "attr",
    "control/feature-poweroff",
    "control/feature-reboot",
    "control/feature-s3",
    "control/feature-s4",
    "control/feature-suspend",
    "control/shutdown",
    "control/sysrq",
    "data",
    "device/suspend/event-channel",
    "drivers",
    "error",
    "feature",
    "shared",
];

/// What the store says about a domain.
pub(super) struct Facts<'a> {
    pub domain: DomId,
    pub uuid: Uuid,
    pub config: &'a DomainConfig,
    pub store: Channel,
    pub console: Channel,
}

/// A domain's place in the store, which goes when this goes, unless it is kept.
pub(super) struct Home<'s> {
    store: &'s dyn Registry,
    domain: DomId,
    uuid: Uuid,
    is_kept: bool,
}

impl<'s> Home<'s> {
    /// Writes the nodes of a domain and has its ring served.
    ///
    /// # Errors
    /// What the store says; nothing is left then.
    pub fn make(store: &'s dyn Registry, facts: &Facts<'_>) -> Result<Self, ToolError> {
        let made = Self { store, domain: facts.domain, uuid: facts.uuid, is_kept: false };
        retry(store, |tx| write_nodes(store, tx, facts)).map_err(|errno| {
            let argument = format_args!("{}", home(facts.domain));
            ToolError::hypercall("xenstore write", argument, errno, "see 'zl xenstore-ls'")
        })?;
        let Channel { frame, port } = facts.store;
        store.introduce(facts.domain, frame, port).map_err(|errno| {
            let argument = format_args!("domid={}, frame={frame:#x}, port={port}", facts.domain);
            let advice = "destroy a domain to get memory and ports";
            ToolError::hypercall("xenstore introduce", argument, errno, advice)
        })?;
        Ok(made)
    }

    /// Leaves it to `remove` to end this.
    pub fn keep(mut self) {
        self.is_kept = true;
    }
}

impl Drop for Home<'_> {
    fn drop(&mut self) {
        if !self.is_kept {
            devices::remove_all(self.store, self.domain);
            remove(self.store, self.domain, Some(self.uuid));
        }
    }
}

/// Removes all nodes of a domain, which does not run, and ends the service of its ring. Its `/vm` stays
/// without `uuid`: another domain has the same. In this order the store has nothing of the domain left
/// to search for when it is released.
pub(super) fn remove(store: &dyn Registry, domain: DomId, uuid: Option<Uuid>) {
    let vm = uuid.map(vm_path);
    for path in [home(domain), tool_path(domain)].into_iter().chain(vm) {
        // The control domain may remove anything; what is missing is as wanted.
        let _ = store.rm(Tx::NONE, &path);
    }
    store.release(domain);
}

/// Notes the new name of a domain.
///
/// # Errors
/// What the store says.
pub(super) fn rename(
    store: &dyn Registry,
    domain: DomId,
    uuid: Uuid,
    name: &str,
) -> Result<(), Errno> {
    retry(store, |tx| {
        store.write(tx, &format!("{}/name", home(domain)), name.as_bytes())?;
        store.write(tx, &format!("{}/name", vm_path(uuid)), name.as_bytes())
    })
}

/// The nodes of the control domain itself, once at the start, and the directories in which those
/// of domains come and go.
///
/// # Errors
/// What the store says.
pub(super) fn make_control(store: &dyn Registry, name: &str) -> Result<(), Errno> {
    let own = home(DomId::DOM0);
    store.write(Tx::NONE, &format!("{own}/name"), name.as_bytes())?;
    store.write(Tx::NONE, &format!("{own}/domid"), b"0")?;
    let backs = Kind::ALL.map(|kind| format!("{own}/backend/{}", kind.word()));
    let tops = ["/tool/xenstored", "/vm", "/libxl"].map(String::from);
    tops.iter().chain(&backs).try_for_each(|path| store.mkdir(Tx::NONE, path))
}

fn vm_path(uuid: Uuid) -> String {
    format!("/vm/{uuid}")
}

/// Nodes that only tools see.
fn tool_path(domain: DomId) -> String {
    format!("/libxl/{domain}")
}

fn write_nodes(store: &dyn Registry, tx: Tx, facts: &Facts<'_>) -> Result<(), Errno> {
    let (own, vm) = (home(facts.domain), vm_path(facts.uuid));
    let read_only = perms(DomId::DOM0, Some(facts.domain));
    let guests = perms(facts.domain, None);
    // What is made below them later gets their permissions.
    for top in [&own, &vm] {
        store.mkdir(tx, top)?;
        store.set_perms(tx, top, &read_only)?;
    }
    store.write(tx, &format!("{}/type", tool_path(facts.domain)), b"pv")?;
    for (path, value) in values(facts) {
        store.write(tx, &format!("{own}/{path}"), value.as_bytes())?;
    }
    for (name, value) in [("name", facts.config.name.clone()), ("uuid", facts.uuid.to_string())] {
        store.write(tx, &format!("{vm}/{name}"), value.as_bytes())?;
    }
    for path in OF_THE_GUEST {
        let path = format!("{own}/{path}");
        store.mkdir(tx, &path)?;
        store.set_perms(tx, &path, &guests)?;
    }
    Ok(())
}

fn perms(owner: DomId, reader: Option<DomId>) -> Vec<Perm> {
    let owner = Perm { domain: owner, rights: Rights::None };
    let reader = reader.map(|domain| Perm { domain, rights: Rights::Read });
    [Some(owner), reader].into_iter().flatten().collect()
}

/// The nodes with values, below the domain's home.
fn values(facts: &Facts<'_>) -> Vec<(String, String)> {
    let (config, console) = (facts.config, facts.console);
    let mut values: Vec<(String, String)> = [
        ("vm", vm_path(facts.uuid)),
        ("name", config.name.clone()),
        ("domid", facts.domain.to_string()),
        ("memory/static-max", (config.maxmem_mib * KIB_PER_MIB).to_string()),
        ("memory/target", (config.memory_mib * KIB_PER_MIB).to_string()),
        ("memory/videoram", String::from("0")),
        ("control/platform-feature-multiprocessor-suspend", String::from("1")),
        ("control/platform-feature-xs_reset_watches", String::from("1")),
        ("store/port", facts.store.port.to_string()),
        ("store/ring-ref", facts.store.frame.to_string()),
        ("console/backend", format!("{}/backend/console/{}/0", home(DomId::DOM0), facts.domain)),
        ("console/backend-id", String::from("0")),
        ("console/limit", CONSOLE_LIMIT.to_string()),
        ("console/type", String::from("xenconsoled")),
        ("console/output", String::from("pty")),
        ("console/tty", String::new()),
        ("console/port", console.port.to_string()),
        ("console/ring-ref", console.frame.to_string()),
        ("device", String::new()),
    ]
    .into_iter()
    .map(|(path, value)| (String::from(path), value))
    .collect();
    let cpu = |number| (format!("cpu/{number}/availability"), String::from("online"));
    values.extend((0..config.vcpus).map(cpu));
    values
}
