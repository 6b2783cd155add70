//! A store in a map, for tests: nodes with permissions that are inherited, and whole-tree transactions.
//!
//! It fails on request, which the real one does not.

use alloc::collections::BTreeMap;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use hypercall_abi::{DomId, Errno};
use pv_xenbus::{Perm, Rights, Store, Tx, WatchId, WatchSink};
use std::sync::{Mutex, MutexGuard, PoisonError};

#[derive(Clone, Debug, PartialEq, Eq)]
struct Node {
    value: Vec<u8>,
    perms: Vec<Perm>,
}

type Tree = BTreeMap<String, Node>;

#[derive(Default)]
struct Inner {
    tree: Tree,
    generation: u64,
    open: BTreeMap<u32, (u64, Tree)>,
    last_tx: u32,
    /// Calls until one fails, and how.
    failure: Option<(u32, Errno)>,
}

/// The store.
pub struct MapStore(Mutex<Inner>);

impl Default for MapStore {
    fn default() -> Self {
        let perms = Vec::from([Perm { domain: DomId::DOM0, rights: Rights::None }]);
        let mut inner = Inner::default();
        inner.tree.insert("/".into(), Node { value: Vec::new(), perms });
        Self(Mutex::new(inner))
    }
}

impl MapStore {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Every node with its value, as text.
    #[must_use]
    pub fn nodes(&self) -> Vec<(String, String)> {
        let text = |node: &Node| String::from_utf8_lossy(&node.value).to_string();
        self.inner().tree.iter().map(|(path, node)| (path.clone(), text(node))).collect()
    }

    /// Lets a later call fail.
    pub fn fail_call(&self, number: u32, errno: Errno) {
        self.inner().failure = Some((number, errno));
    }

    /// No call fails any more.
    pub fn heal(&self) {
        self.inner().failure = None;
    }

    fn with<T>(
        &self,
        tx: Tx,
        body: impl FnOnce(&mut Tree) -> Result<(T, bool), Errno>,
    ) -> Result<T, Errno> {
        let mut inner = self.inner();
        if let Some((left, errno)) = &mut inner.failure {
            let (now, errno) = (*left == 0, *errno);
            *left = left.saturating_sub(1);
            if now {
                inner.failure = None;
                return Err(errno);
            }
        }
        if tx == Tx::NONE {
            let (value, changed) = body(&mut inner.tree)?;
            inner.generation += u64::from(changed);
            return Ok(value);
        }
        let (_, tree) = inner.open.get_mut(&tx.0).ok_or(Errno::ENOENT)?;
        body(tree).map(|(value, _)| value)
    }
}

fn parent(path: &str) -> &str {
    match path.rsplit_once('/') {
        Some(("", _)) | None => "/",
        Some((parent, _)) => parent,
    }
}

fn make(tree: &mut Tree, path: &str) -> Result<(), Errno> {
    if !path.starts_with('/') || (path != "/" && path.ends_with('/')) || path.contains("//") {
        return Err(Errno::EINVAL);
    }
    if tree.contains_key(path) {
        return Ok(());
    }
    make(tree, parent(path))?;
    let perms = tree.get(parent(path)).map(|node| node.perms.clone()).unwrap_or_default();
    tree.insert(path.into(), Node { value: Vec::new(), perms });
    Ok(())
}

impl Store for MapStore {
    fn read(&self, tx: Tx, path: &str) -> Result<Vec<u8>, Errno> {
        self.with(tx, |tree| {
            let node = tree.get(path).ok_or(Errno::ENOENT)?;
            Ok((node.value.clone(), false))
        })
    }

    fn list(&self, tx: Tx, path: &str) -> Result<Vec<String>, Errno> {
        self.with(tx, |tree| {
            tree.get(path).ok_or(Errno::ENOENT)?;
            let below = |other: &&String| other.as_str() != "/" && parent(other) == path;
            let name = |other: &String| other.rsplit('/').next().unwrap_or("").to_string();
            Ok((tree.keys().filter(below).map(name).collect(), false))
        })
    }

    fn write(&self, tx: Tx, path: &str, value: &[u8]) -> Result<(), Errno> {
        self.with(tx, |tree| {
            make(tree, path)?;
            tree.get_mut(path).ok_or(Errno::ENOENT)?.value = value.into();
            Ok(((), true))
        })
    }

    fn mkdir(&self, tx: Tx, path: &str) -> Result<(), Errno> {
        self.with(tx, |tree| Ok((make(tree, path)?, true)))
    }

    fn rm(&self, tx: Tx, path: &str) -> Result<(), Errno> {
        self.with(tx, |tree| {
            tree.get(parent(path)).ok_or(Errno::ENOENT)?;
            let below = path.to_string() + "/";
            tree.retain(|other, _| other != path && !other.starts_with(&below));
            Ok(((), true))
        })
    }

    fn perms(&self, tx: Tx, path: &str) -> Result<Vec<Perm>, Errno> {
        self.with(tx, |tree| {
            let node = tree.get(path).ok_or(Errno::ENOENT)?;
            Ok((node.perms.clone(), false))
        })
    }

    fn set_perms(&self, tx: Tx, path: &str, perms: &[Perm]) -> Result<(), Errno> {
        self.with(tx, |tree| {
            tree.get_mut(path).ok_or(Errno::ENOENT)?.perms = perms.into();
            Ok(((), true))
        })
    }

    fn begin(&self) -> Result<Tx, Errno> {
        let mut inner = self.inner();
        inner.last_tx += 1;
        let tx = inner.last_tx;
        let snapshot = (inner.generation, inner.tree.clone());
        inner.open.insert(tx, snapshot);
        Ok(Tx(tx))
    }

    fn end(&self, tx: Tx, commit: bool) -> Result<(), Errno> {
        let mut inner = self.inner();
        let (generation, tree) = inner.open.remove(&tx.0).ok_or(Errno::ENOENT)?;
        if !commit {
            return Ok(());
        }
        if generation != inner.generation {
            return Err(Errno::EAGAIN);
        }
        inner.tree = tree;
        inner.generation += 1;
        Ok(())
    }

    fn watch(&self, _: &str, _: WatchSink) -> Result<WatchId, Errno> {
        Err(Errno::ENOSYS)
    }

    fn unwatch(&self, _: WatchId) {}
}
