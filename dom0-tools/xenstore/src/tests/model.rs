//! A slow store: one flat map, copied whole before every operation.

use crate::Quota;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use hypercall_abi::{DomId, Errno};
use pv_xenbus::path::{is_at_or_below, parent};
use pv_xenbus::{Perm, Rights};

pub type Nodes = BTreeMap<String, (Vec<u8>, Vec<Perm>)>;

#[derive(Clone, Debug)]
pub enum Op {
    Read(String),
    List(String),
    Perms(String),
    Write(String, Vec<u8>),
    Mkdir(String),
    Rm(String),
    SetPerms(String, Vec<Perm>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    Done,
    Value(Vec<u8>),
    Names(BTreeSet<String>),
    Perms(Vec<Perm>),
}

/// A change of a node; `exact` when it went with one above it.
pub type Change = (String, bool);

#[derive(Clone, Debug)]
pub struct Model {
    pub nodes: Nodes,
    pub quota: Quota,
}

pub fn may(perms: &[Perm], domain: u16, reads: bool) -> bool {
    let domain = DomId::new(domain);
    if domain == DomId::DOM0 || perms[0].domain == domain {
        return true;
    }
    let rights = perms[1..].iter().find(|perm| perm.domain == domain).unwrap_or(&perms[0]).rights;
    match reads {
        true => [Rights::Read, Rights::Both].contains(&rights),
        false => [Rights::Write, Rights::Both].contains(&rights),
    }
}

impl Model {
    pub fn usage(&self, domain: u16) -> (usize, usize) {
        let own = self.nodes.iter().filter(|(_, node)| node.1[0].domain == DomId::new(domain));
        own.fold((0, 0), |(nodes, bytes), (path, node)| {
            (nodes + 1, bytes + 64 + path.len() + node.0.len() + 4 * node.1.len())
        })
    }

    /// Whether a guest that made `self` into `after` broke the quota of somebody.
    pub fn exceeds(&self, after: &Self) -> bool {
        let owners: BTreeSet<u16> =
            after.nodes.values().map(|node| node.1[0].domain.get()).collect();
        owners.into_iter().filter(|owner| *owner != 0).any(|owner| {
            let ((nodes, bytes), (more, more_bytes)) = (self.usage(owner), after.usage(owner));
            (more > nodes && more > self.quota.nodes)
                || (more_bytes > bytes && more_bytes > self.quota.bytes)
        })
    }

    fn nearest(&self, path: &str) -> &[Perm] {
        let mut above = path;
        while !self.nodes.contains_key(above) {
            above = parent(above).unwrap();
        }
        &self.nodes[above].1
    }

    /// Does one operation, without quota of what is owned.
    pub fn apply(&mut self, domain: u16, op: &Op) -> (Result<Said, Errno>, Vec<Change>) {
        let (path, reads) = match op {
            Op::Read(path) | Op::List(path) | Op::Perms(path) => (path, true),
            Op::Write(path, _) | Op::Mkdir(path) | Op::Rm(path) | Op::SetPerms(path, _) => {
                (path, false)
            }
        };
        if matches!(op, Op::Rm(path) if path == "/") {
            return (Err(Errno::EINVAL), Vec::new());
        }
        let owns = domain == 0 || self.nearest(path)[0].domain == DomId::new(domain);
        let allowed = match op {
            Op::SetPerms(..) => owns,
            _ => may(self.nearest(path), domain, reads),
        };
        if let (Op::Write(_, value), true) = (op, domain != 0) {
            if value.len() > self.quota.node_size {
                return (Err(Errno::ENOSPC), Vec::new());
            }
        }
        if let (Op::SetPerms(_, perms), true) = (op, domain != 0) {
            if perms.len() > self.quota.perms {
                return (Err(Errno::ENOSPC), Vec::new());
            }
        }
        if !allowed {
            return (Err(Errno::EACCES), Vec::new());
        }
        let exists = self.nodes.contains_key(path);
        let makes = matches!(op, Op::Write(..) | Op::Mkdir(_) | Op::Rm(_));
        if !exists && !makes {
            return (Err(Errno::ENOENT), Vec::new());
        }
        let inherits = !exists && matches!(op, Op::Write(..) | Op::Mkdir(_));
        if domain != 0 && inherits && self.nearest(path).len() > self.quota.perms {
            return (Err(Errno::ENOSPC), Vec::new());
        }
        self.apply_allowed(domain, op, exists)
    }

    fn apply_allowed(
        &mut self,
        domain: u16,
        op: &Op,
        exists: bool,
    ) -> (Result<Said, Errno>, Vec<Change>) {
        let changed = |path: &String| alloc::vec![(path.clone(), false)];
        match op {
            Op::Read(path) => (Ok(Said::Value(self.nodes[path].0.clone())), Vec::new()),
            Op::Perms(path) => (Ok(Said::Perms(self.nodes[path].1.clone())), Vec::new()),
            Op::List(path) => {
                let below = self.nodes.keys().filter(|key| parent(key) == Some(path));
                let names = below.map(|key| key.rsplit('/').next().unwrap().to_string()).collect();
                (Ok(Said::Names(names)), Vec::new())
            }
            Op::Mkdir(_) if exists => (Ok(Said::Done), Vec::new()),
            Op::Mkdir(path) => {
                self.make(domain, path);
                (Ok(Said::Done), changed(path))
            }
            Op::Write(path, value) => {
                self.make(domain, path);
                self.nodes.get_mut(path).unwrap().0.clone_from(value);
                (Ok(Said::Done), changed(path))
            }
            Op::Rm(path) if !exists => match self.nodes.contains_key(parent(path).unwrap()) {
                true => (Ok(Said::Done), Vec::new()),
                false => (Err(Errno::ENOENT), Vec::new()),
            },
            Op::Rm(path) => {
                let below: Vec<String> =
                    self.nodes.keys().filter(|key| is_at_or_below(key, path)).cloned().collect();
                for key in &below {
                    self.nodes.remove(key);
                }
                let changes = below.into_iter().map(|key| (key.clone(), key != *path)).collect();
                (Ok(Said::Done), changes)
            }
            Op::SetPerms(path, perms) => {
                let node = self.nodes.get_mut(path).unwrap();
                if domain != 0 && node.1[0].domain != perms[0].domain {
                    return (Err(Errno::EPERM), Vec::new());
                }
                node.1.clone_from(perms);
                (Ok(Said::Done), changed(path))
            }
        }
    }

    fn make(&mut self, domain: u16, path: &str) {
        if self.nodes.contains_key(path) {
            return;
        }
        let above = parent(path).unwrap();
        self.make(domain, above);
        let mut perms = self.nodes[above].1.clone();
        if domain != 0 {
            perms[0].domain = DomId::new(domain);
        }
        self.nodes.insert(path.to_string(), (Vec::new(), perms));
    }

    /// The paths a watch has to hear of, after `self` became `after` by these changes.
    pub fn due(
        &self,
        after: &Self,
        changes: &[Change],
        watch: &str,
        domain: u16,
    ) -> BTreeSet<String> {
        let readable = |nodes: &Nodes, path: &str| {
            nodes.get(path).is_some_and(|node| may(&node.1, domain, true))
        };
        let is_due = |(path, exact): &&Change| {
            let matches = if *exact { path == watch } else { is_at_or_below(path, watch) };
            matches
                && (readable(&self.nodes, path)
                    || readable(&after.nodes, path)
                    || parent(path).is_some_and(|above| readable(&after.nodes, above)))
        };
        changes.iter().filter(is_due).map(|(path, _)| path.clone()).collect()
    }
}
