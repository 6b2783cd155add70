//! Writes the nodes of devices and removes them.
//!
//! Each device comes and goes in one transaction: a back half that looks never sees half of it.

use super::layout::entries;
use super::{back_parent, Device, DeviceId, Kind};
use crate::error::ToolError;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use hypercall_abi::io::xenbus::STATE_CLOSING;
use hypercall_abi::{DomId, Errno};
use pv_xenbus::{retry, Store, Tx};

/// Writes all nodes of some devices of a domain, of all or of none.
///
/// # Errors
/// A device of that number is there already, or the store refused.
pub fn attach(store: &dyn Store, domain: DomId, devices: &[Device<'_>]) -> Result<(), ToolError> {
    let written = retry(store, |tx| {
        for device in devices {
            if exists(store, tx, &device.id(domain).back())? {
                return Err(Errno::EEXIST);
            }
            write_all(store, tx, domain, device)?;
        }
        Ok(())
    });
    written.map_err(|errno| {
        let names: Vec<String> =
            devices.iter().map(|device| device.id(domain).to_string()).collect();
        let what = format!("{} of domain {domain}", names.join(", "));
        let advice = match errno {
            Errno::EEXIST => "it is there already; see 'zl block-list' or 'zl network-list'",
            _ => "see 'zl xenstore-ls'",
        };
        ToolError::hypercall("xenstore write", format_args!("{what}"), errno, advice)
    })
}

fn write_all(store: &dyn Store, tx: Tx, domain: DomId, device: &Device<'_>) -> Result<(), Errno> {
    for entry in entries(domain, device) {
        store.write(tx, &entry.path, entry.value.as_bytes())?;
        if let Some(reader) = entry.reader {
            store.set_perms(tx, &entry.path, &reader.perms(domain))?;
        }
    }
    Ok(())
}

fn exists(store: &dyn Store, tx: Tx, path: &str) -> Result<bool, Errno> {
    match store.list(tx, path) {
        Ok(_) => Ok(true),
        Err(Errno::ENOENT) => Ok(false),
        Err(errno) => Err(errno),
    }
}

/// Asks both halves to let go of a device.
///
/// # Errors
/// There is no such device, or the store refused.
pub fn begin_detach(store: &dyn Store, id: &DeviceId) -> Result<(), ToolError> {
    let back = id.back();
    let asked = retry(store, |tx| {
        if !exists(store, tx, &back)? {
            return Err(Errno::ENOENT);
        }
        store.write(tx, &format!("{back}/online"), b"0")?;
        store.write(tx, &format!("{back}/state"), STATE_CLOSING.to_string().as_bytes())
    });
    asked.map_err(|errno| refused(id, errno))
}

/// Removes the nodes of a device, whatever its halves do. One that is gone is as wanted.
///
/// # Errors
/// The store refused.
pub fn remove(store: &dyn Store, id: &DeviceId) -> Result<(), ToolError> {
    let removed = retry(store, |tx| {
        remove_tree(store, tx, &id.front())?;
        remove_tree(store, tx, &id.back())?;
        remove_if_empty(
            store,
            tx,
            &format!("/local/domain/{}/device/{}", id.domain, id.kind.word()),
        )?;
        remove_if_empty(store, tx, &back_parent(id.kind, id.domain))
    });
    removed.map_err(|errno| refused(id, errno))
}

/// Removes the back halves of a domain that is gone; its own nodes go with its home.
pub fn remove_all(store: &dyn Store, domain: DomId) {
    for kind in Kind::ALL {
        // What cannot be removed now has nothing to serve; the next domain of this number, if ever
        // there is one, would refuse to be created and say so.
        let _ = retry(store, |tx| remove_tree(store, tx, &back_parent(kind, domain)));
    }
}

/// The devices of one kind that a domain has.
#[must_use]
pub fn attached(store: &dyn Store, domain: DomId, kind: Kind) -> Vec<DeviceId> {
    let names = store.list(Tx::NONE, &back_parent(kind, domain)).unwrap_or_default();
    let mut devids: Vec<u32> = names.iter().filter_map(|name| name.parse().ok()).collect();
    devids.sort_unstable();
    devids.into_iter().map(|devid| DeviceId { domain, kind, devid }).collect()
}

fn remove_tree(store: &dyn Store, tx: Tx, path: &str) -> Result<(), Errno> {
    match store.rm(tx, path) {
        Err(Errno::ENOENT) => Ok(()),
        other => other,
    }
}

fn remove_if_empty(store: &dyn Store, tx: Tx, path: &str) -> Result<(), Errno> {
    match store.list(tx, path) {
        Ok(names) if names.is_empty() => remove_tree(store, tx, path),
        Ok(_) | Err(Errno::ENOENT) => Ok(()),
        Err(errno) => Err(errno),
    }
}

fn refused(id: &DeviceId, errno: Errno) -> ToolError {
    let verb = match id.kind {
        Kind::Vbd => "block-list",
        Kind::Vif => "network-list",
    };
    match errno {
        Errno::ENOENT => ToolError::failed(format!(
            "domain {} has no {id}; see 'zl {verb} {}'",
            id.domain, id.domain
        )),
        _ => {
            let argument = format_args!("{}", id.back());
            ToolError::hypercall("xenstore", argument, errno, "see 'zl xenstore-ls'")
        }
    }
}
