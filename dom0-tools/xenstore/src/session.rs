//! The operations on nodes, for somebody, in a transaction.
//!
//! `server` makes a session for each operation; permissions and the limits of single nodes are
//! checked here. What changes is noted in the transaction, also for the watches.
//!
//! Invariant: an operation that fails has changed nothing in the transaction; it may have noted more
//! nodes as seen.

use crate::access::{Need, Perms, Who};
use crate::quota::Quota;
use crate::transaction::{Room, Transaction};
use crate::tree::{Node, Tree};
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use hypercall_abi::io::xs_wire::PAYLOAD_MAX;
use hypercall_abi::Errno;
use pv_xenbus::path::{self, ROOT};

/// Most entries of the permissions of a node that the control domain makes.
const MOST_PERMS: usize = 64;

/// One operation on the store.
pub struct Session<'a> {
    /// The tree underneath.
    pub tree: &'a Tree,
    /// What was seen and changed so far.
    pub transaction: &'a mut Transaction,
    /// Who asks.
    pub who: Who,
    /// What it may use.
    pub quota: &'a Quota,
    /// What the transaction may hold.
    pub room: Room,
}

impl Session<'_> {
    /// The value at a path.
    ///
    /// # Errors
    /// `ENOENT`, `EACCES`.
    pub fn read(&mut self, path: &str) -> Result<Arc<[u8]>, Errno> {
        Ok(self.find(path, Need::Read)?.value)
    }

    /// The children of a node, with the generation of this list.
    ///
    /// # Errors
    /// `ENOENT`, `EACCES`.
    pub fn list(&mut self, path: &str) -> Result<(u64, Vec<Arc<str>>), Errno> {
        let node = self.find(path, Need::Read)?;
        Ok((node.children_generation, self.children(path)?))
    }

    /// The permissions of a node.
    ///
    /// # Errors
    /// `ENOENT`, `EACCES`.
    pub fn perms(&mut self, path: &str) -> Result<Perms, Errno> {
        Ok(self.find(path, Need::Read)?.perms)
    }

    /// Sets a value; makes the node and its parents if need be.
    ///
    /// # Errors
    /// `EACCES`, `ENOSPC`.
    pub fn write(&mut self, path: &str, value: &[u8]) -> Result<(), Errno> {
        let most = if self.who.is_privileged { PAYLOAD_MAX } else { self.quota.node_size };
        if value.len() > most {
            return Err(Errno::ENOSPC);
        }
        self.transaction.reserve(self.room, value.len())?;
        match self.find(path, Need::Write) {
            Ok(node) => self.transaction.put(path, value.into(), node.perms),
            Err(Errno::ENOENT) => self.make(path, value)?,
            Err(errno) => return Err(errno),
        }
        self.transaction.note_change(path, false);
        Ok(())
    }

    /// Makes a node without value; one that exists stays.
    ///
    /// # Errors
    /// `EACCES`, `ENOSPC`.
    pub fn mkdir(&mut self, path: &str) -> Result<(), Errno> {
        match self.find(path, Need::Write) {
            Ok(_) => return Ok(()),
            Err(Errno::ENOENT) => self.make(path, &[])?,
            Err(errno) => return Err(errno),
        }
        self.transaction.note_change(path, false);
        Ok(())
    }

    /// Removes a node and all below it.
    ///
    /// # Errors
    /// `EINVAL` for the root, `EACCES`, `ENOENT` when not even the parent exists.
    pub fn rm(&mut self, path: &str) -> Result<(), Errno> {
        let parent = path::parent(path).ok_or(Errno::EINVAL)?;
        match self.find(path, Need::Write) {
            Ok(_) => {}
            Err(Errno::ENOENT) => {
                return self.node(parent)?.map(drop).ok_or(Errno::ENOENT);
            }
            Err(errno) => return Err(errno),
        }
        // All are looked at before the first goes, so that nothing happens when there is no room.
        let mut doomed = vec![String::from(path)];
        let mut next = 0;
        while let Some(top) = doomed.get(next).cloned() {
            let _seen = self.node(&top)?;
            doomed.extend(self.children(&top)?.iter().map(|name| path::child(&top, name)));
            next += 1;
        }
        for path in doomed.iter().rev() {
            self.transaction.remove(path);
        }
        for (index, path) in doomed.iter().enumerate() {
            self.transaction.note_change(path, index > 0);
        }
        Ok(())
    }

    /// Sets the permissions of a node.
    ///
    /// # Errors
    /// `EACCES` for who does not own it, `EPERM` for who gives it away, `ENOSPC` for too many.
    pub fn set_perms(&mut self, path: &str, perms: Perms) -> Result<(), Errno> {
        self.check_perms(&perms)?;
        let node = self.find(path, Need::Own)?;
        if !self.who.is_privileged && perms.owner() != node.perms.owner() {
            return Err(Errno::EPERM);
        }
        self.transaction.put(path, node.value, perms);
        self.transaction.note_change(path, false);
        Ok(())
    }

    /// Whether a list of permissions has a length that is allowed.
    ///
    /// # Errors
    /// `ENOSPC`.
    pub fn check_perms(&self, perms: &Perms) -> Result<(), Errno> {
        let most = if self.who.is_privileged { MOST_PERMS } else { self.quota.perms };
        match perms.list().len() > most {
            true => Err(Errno::ENOSPC),
            false => Ok(()),
        }
    }

    fn node(&mut self, path: &str) -> Result<Option<Node>, Errno> {
        self.transaction.node(self.tree, self.room, path)
    }

    fn children(&mut self, path: &str) -> Result<Vec<Arc<str>>, Errno> {
        self.transaction.children(self.tree, self.room, path)
    }

    /// A node that `who` may use. That a node does not exist is told only to those who could see
    /// it by the permissions of the nearest one above.
    fn find(&mut self, path: &str, need: Need) -> Result<Node, Errno> {
        if let Some(node) = self.node(path)? {
            return match node.perms.allow(&self.who, need) {
                true => Ok(node),
                false => Err(Errno::EACCES),
            };
        }
        let mut above = path;
        while let Some(parent) = path::parent(above) {
            if let Some(node) = self.node(parent)? {
                return match node.perms.allow(&self.who, need) {
                    true => Err(Errno::ENOENT),
                    false => Err(Errno::EACCES),
                };
            }
            above = parent;
        }
        Err(Errno::EACCES)
    }

    /// Makes a node that does not exist, and those above it that are missing.
    fn make(&mut self, path: &str, value: &[u8]) -> Result<(), Errno> {
        let mut missing = vec![path];
        let mut above = path::parent(path).unwrap_or(ROOT);
        let inherited = loop {
            match self.node(above)? {
                Some(node) => break node.perms.inherited_by(&self.who),
                None => missing.push(above),
            }
            above = path::parent(above).ok_or(Errno::EINVAL)?;
        };
        self.check_perms(&inherited)?;
        for made in missing.iter().rev() {
            let value = if *made == path { value } else { &[] };
            self.transaction.put(made, value.into(), inherited.clone());
        }
        Ok(())
    }
}
