//! The table of domains, by number.
//!
//! A domain is in the table from its creation until all its frames are free again; a dying or dead
//! domain can still be looked up, because its controller wants to see it go.

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ops::Deref;
use hv_core::ensure;
use hv_machine::sync::Mutex;
use hypercall_abi::{DomId, Errno};

use super::{Domain, DomainRef};
use crate::current::Here;

/// Most domains at a time.
pub const MAX_DOMAINS: usize = 512;

struct Table {
    by_id: BTreeMap<u16, DomainRef>,
    next_id: u16,
}

static TABLE: Mutex<Table> = Mutex::new(Table { by_id: BTreeMap::new(), next_id: 1 });

/// The domain with this number.
pub fn get(id: DomId) -> Option<DomainRef> {
    TABLE.lock().by_id.get(&id.get()).cloned()
}

/// A domain that an argument names. The caller itself is not looked up: most calls name it.
pub enum Named<'a> {
    /// The calling one.
    Own(&'a DomainRef),
    /// Another.
    Other(DomainRef),
}

impl Deref for Named<'_> {
    type Target = DomainRef;

    fn deref(&self) -> &DomainRef {
        match self {
            Self::Own(dom) => dom,
            Self::Other(dom) => dom,
        }
    }
}

/// The domain with this number, the caller or another.
#[inline(always)]
pub fn numbered(here: &Here, id: DomId) -> Option<Named<'_>> {
    if id == here.dom().id {
        return Some(Named::Own(here.dom()));
    }
    get(id).map(Named::Other)
}

/// The domain an argument names: `DOMID_SELF` or a number.
///
/// # Errors
/// `ESRCH` when there is no such domain.
#[inline(always)]
pub fn named(here: &Here, id: DomId) -> Result<Named<'_>, Errno> {
    if id == DomId::SELF {
        return Ok(Named::Own(here.dom()));
    }
    numbered(here, id).ok_or(Errno::ESRCH)
}

/// The domain an argument names, if the caller may act on it as its controller.
///
/// # Errors
/// `ESRCH` when there is no such domain, `EPERM` without the right.
#[inline(always)]
pub fn target(here: &Here, id: DomId) -> Result<Named<'_>, Errno> {
    let dom = named(here, id)?;
    here.dom().controls(&dom).then_some(dom).ok_or(Errno::EPERM)
}

/// Domains from number `first` on, at most `limit`.
pub fn list_from(first: DomId, limit: usize) -> Vec<DomainRef> {
    TABLE.lock().by_id.range(first.get()..).take(limit).map(|(_, dom)| dom.clone()).collect()
}

/// All domains.
pub fn all() -> Vec<DomainRef> {
    list_from(DomId::DOM0, MAX_DOMAINS)
}

/// How many domains there are.
pub fn count() -> usize {
    TABLE.lock().by_id.len()
}

/// Chooses a number for a new domain: the wanted one, or the next free.
///
/// # Errors
/// `EEXIST` when the wanted number is in use, `ENOMEM` when all are.
pub fn choose_id(wanted: Option<DomId>) -> Result<DomId, Errno> {
    let mut table = TABLE.lock();
    if let Some(id) = wanted {
        return ensure(!table.by_id.contains_key(&id.get()), Errno::EEXIST).map(|()| id);
    }
    let limit = DomId::FIRST_RESERVED.get();
    for _ in 1..limit {
        let id = table.next_id;
        table.next_id = if id + 1 >= limit { 1 } else { id + 1 };
        if !table.by_id.contains_key(&id) {
            return Ok(DomId::new(id));
        }
    }
    Err(Errno::ENOMEM)
}

/// Makes a domain known.
///
/// # Errors
/// `EEXIST` when its number was taken meanwhile, `ENOMEM` when there are as many domains as there can
/// be.
pub fn insert(dom: Domain) -> Result<DomainRef, Errno> {
    let dom = Arc::new(dom);
    let mut table = TABLE.lock();
    ensure(!table.by_id.contains_key(&dom.id.get()), Errno::EEXIST)?;
    ensure(table.by_id.len() < MAX_DOMAINS, Errno::ENOMEM)?;
    table.by_id.insert(dom.id.get(), dom.clone());
    Ok(dom)
}

/// Forgets a dead domain.
pub fn remove(id: DomId) {
    // What is left of it goes when the lock is free again.
    let gone = TABLE.lock().by_id.remove(&id.get());
    drop(gone);
}
