//! A view of the tree that changes nothing until it is committed.
//!
//! Every node that is looked at is noted as it was seen first; changes are made to the noted copy.
//! At the end all noted nodes are compared with the tree: if one changed meanwhile, nothing happens and
//! the caller starts over. So what is committed happened as if at that moment, in one step. Nodes that
//! were not there are noted, too, and so is the set of children of a node that was listed.
//!
//! Single operations use it as well: they commit at once, and one that fails half-way leaves nothing.
//!
//! The tree holds the nodes of all domains, so looking something up there is dearer the more domains there
//! are. Below a node that is not there nothing is, and what was just made has no other children: both are
//! known without a look.

use crate::access::{Perms, Who};
use crate::key::{Key, Path};
use crate::quota::Quota;
use crate::tree::{Node, Tree};
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::sync::Arc;
use alloc::vec::Vec;
use hypercall_abi::{DomId, Errno};
use pv_xenbus::path;

/// What one entry costs beside the node.
const OVERHEAD: usize = 96;

/// Something that watches may want to hear of.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Change {
    /// The node.
    pub path: Key,
    /// Only watches of exactly this node: it went because one above it was removed.
    pub exact: bool,
}

/// A change that happened.
#[derive(Clone, Debug)]
pub struct Happened {
    /// What changed.
    pub change: Change,
    /// Who could do what before.
    pub before: Option<Perms>,
}

/// What one transaction may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// Nodes.
    pub nodes: usize,
    /// Bytes.
    pub bytes: usize,
}

impl Room {
    /// No bound: the control domain.
    pub const UNBOUNDED: Self = Self { nodes: usize::MAX, bytes: usize::MAX };
}

#[derive(Clone, Debug)]
struct Touched {
    /// The node of the tree when it was seen first.
    base: Option<Node>,
    /// The node as the transaction sees it.
    now: Option<Node>,
    /// Whether the transaction wrote, made or removed it.
    is_written: bool,
    /// Children in the tree when they were listed first, and their generation then.
    listed: Option<(u64, Vec<Arc<str>>)>,
}

impl Touched {
    /// Whether this is not what was seen.
    fn differs_from(&self, current: Option<&Node>) -> bool {
        let base = self.base.as_ref().map(|node| node.generation);
        let has_other_children = |(generation, _): &(u64, Vec<Arc<str>>)| {
            *generation != current.map_or(0, |node| node.children_generation)
        };
        current.map(|node| node.generation) != base
            || self.listed.as_ref().is_some_and(has_other_children)
    }
}

/// What a transaction saw and wants to change.
#[derive(Clone, Debug, Default)]
pub struct Transaction {
    touched: BTreeMap<Key, Touched>,
    changes: BTreeSet<Change>,
    bytes: usize,
    /// Generations of nodes in this view, above those of any tree.
    steps: u64,
}

impl Transaction {
    /// Nothing seen, nothing changed.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Bytes it holds.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Nodes it holds.
    #[must_use]
    pub fn nodes(&self) -> usize {
        self.touched.len()
    }

    /// A node as the transaction sees it.
    ///
    /// # Errors
    /// `ENOSPC` when there is no room to note that it was seen.
    pub fn node(&mut self, tree: &Tree, room: Room, path: &str) -> Result<Option<Node>, Errno> {
        if let Some(touched) = self.touched.get(Path::of(path)) {
            return Ok(touched.now.clone());
        }
        let base = if self.is_below_nothing(path) { None } else { tree.get(path).cloned() };
        let cost = OVERHEAD + base.as_ref().map_or(path.len(), |node| node.cost(path));
        self.charge(room, 1, cost)?;
        let now = base.clone();
        let touched = Touched { base, now: now.clone(), is_written: false, listed: None };
        self.touched.insert(Key::from(path), touched);
        Ok(now)
    }

    /// Whether the node above was noted as one that is not in the tree. If it is there by now, noting that
    /// one below it is not makes no difference: the commit fails already because of the one above.
    fn is_below_nothing(&self, path: &str) -> bool {
        let above = path::parent(path).and_then(|parent| self.touched.get(Path::of(parent)));
        above.is_some_and(|touched| touched.base.is_none())
    }

    fn charge(&mut self, room: Room, nodes: usize, bytes: usize) -> Result<(), Errno> {
        let bytes = self.bytes.saturating_add(bytes);
        if self.touched.len().saturating_add(nodes) > room.nodes || bytes > room.bytes {
            return Err(Errno::ENOSPC);
        }
        self.bytes = bytes;
        Ok(())
    }

    /// Makes sure that a value fits. What a later write replaces stays counted.
    ///
    /// # Errors
    /// `ENOSPC`.
    pub fn reserve(&mut self, room: Room, bytes: usize) -> Result<(), Errno> {
        self.charge(room, 0, bytes)
    }

    /// Names of the children of a node as the transaction sees them.
    ///
    /// # Errors
    /// `ENOSPC` when there is no room to note them.
    pub fn children(&mut self, tree: &Tree, room: Room, top: &str) -> Result<Vec<Arc<str>>, Errno> {
        let _seen = self.node(tree, room, top)?;
        let is_known =
            self.touched.get(Path::of(top)).is_some_and(|touched| touched.listed.is_some());
        if !is_known {
            let names = tree.children(top);
            self.charge(room, 0, names.iter().map(|name| name.len() + OVERHEAD).sum())?;
            let generation = tree.get(top).map_or(0, |node| node.children_generation);
            if let Some(touched) = self.touched.get_mut(Path::of(top)) {
                touched.listed = Some((generation, names));
            }
        }
        let listed = self.touched.get(Path::of(top)).and_then(|touched| touched.listed.as_ref());
        let mut names: BTreeSet<Arc<str>> =
            listed.map(|(_, names)| names.iter().cloned().collect()).unwrap_or_default();
        for (path, touched) in self.written_below(top) {
            let name: Arc<str> = Arc::from(path::name(path));
            match touched.now {
                Some(_) => names.insert(name),
                None => names.remove(&name),
            };
        }
        Ok(names.into_iter().collect())
    }

    /// Children of a node that the transaction made, wrote or removed.
    fn written_below<'a>(&'a self, top: &'a str) -> impl Iterator<Item = (&'a Key, &'a Touched)> {
        self.touched
            .range::<Path, _>((
                core::ops::Bound::Excluded(Path::of(top)),
                core::ops::Bound::Unbounded,
            ))
            .take_while(move |(path, _)| path.starts_with(top))
            .filter(move |(path, touched)| touched.is_written && path::parent(path) == Some(top))
    }

    /// Writes or makes a node that was looked at before, below a parent that exists.
    pub fn put(&mut self, path: &str, value: Arc<[u8]>, perms: Perms) {
        self.steps += 1;
        let generation = u64::MAX / 2 + self.steps;
        let Some(touched) = self.touched.get_mut(Path::of(path)) else { return };
        let is_new = touched.now.is_none();
        let children_generation = match &touched.now {
            Some(now) => now.children_generation,
            None => generation,
        };
        touched.now = Some(Node { value, perms, generation, children_generation });
        touched.is_written = true;
        if is_new {
            self.note_children(path, generation);
        }
    }

    /// Removes a node that was looked at before.
    pub fn remove(&mut self, path: &str) {
        self.steps += 1;
        let generation = u64::MAX / 2 + self.steps;
        if let Some(touched) = self.touched.get_mut(Path::of(path)) {
            touched.now = None;
            touched.is_written = true;
            self.note_children(path, generation);
        }
    }

    fn note_children(&mut self, path: &str, generation: u64) {
        let parent = path::parent(path).and_then(|parent| self.touched.get_mut(Path::of(parent)));
        if let Some(now) = parent.and_then(|touched| touched.now.as_mut()) {
            now.children_generation = generation;
        }
    }

    /// Notes a change for the watches, once.
    pub fn note_change(&mut self, path: &str, exact: bool) {
        self.changes.insert(Change { path: Key::from(path), exact });
    }

    /// Whether somebody changed what the transaction saw.
    #[must_use]
    pub fn conflicts_with(&self, tree: &Tree) -> bool {
        let mut missing: Option<&str> = None;
        self.touched.iter().any(|(path, touched)| {
            let current = match missing.is_some_and(|top| path::is_at_or_below(path, top)) {
                true => None,
                false => tree.get(path),
            };
            if current.is_none() {
                missing = missing.filter(|top| path::is_at_or_below(path, top)).or(Some(path));
            }
            touched.differs_from(current)
        })
    }

    /// Whether `who` would own more than allowed after it, and more than before.
    fn exceeds(&self, tree: &Tree, quota: &Quota) -> bool {
        let mut deltas: BTreeMap<DomId, (i64, i64)> = BTreeMap::new();
        for (path, touched) in self.touched.iter().filter(|(_, touched)| touched.is_written) {
            for (node, sign) in [(&touched.base, -1), (&touched.now, 1)] {
                if let Some(node) = node {
                    let (nodes, bytes) = deltas.entry(node.perms.owner()).or_default();
                    *nodes += sign;
                    *bytes += sign * node.cost(path) as i64;
                }
            }
        }
        let is_too_much = |used: usize, delta: i64, limit: usize| {
            delta > 0 && (used as i64).saturating_add(delta) > limit as i64
        };
        deltas.iter().any(|(owner, (nodes, bytes))| {
            let used = tree.usage(*owner);
            *owner != DomId::DOM0
                && (is_too_much(used.nodes, *nodes, quota.nodes)
                    || is_too_much(used.bytes, *bytes, quota.bytes))
        })
    }
}

/// Ends a transaction: all of its changes happen, or none.
///
/// # Errors
/// `EAGAIN` when somebody changed what it saw, `ENOSPC` when a domain would own too much.
pub fn commit(
    tree: &mut Tree,
    transaction: Transaction,
    who: &Who,
    quota: &Quota,
) -> Result<Vec<Happened>, Errno> {
    if transaction.conflicts_with(tree) {
        return Err(Errno::EAGAIN);
    }
    if !who.is_privileged && transaction.exceeds(tree, quota) {
        return Err(Errno::ENOSPC);
    }
    let before = |change: Change| {
        let base = transaction.touched.get(&change.path).and_then(|touched| touched.base.as_ref());
        Happened { before: base.map(|node| node.perms.clone()), change }
    };
    let happened = transaction.changes.iter().cloned().map(before).collect::<Vec<_>>();
    apply(tree, transaction.touched);
    Ok(happened)
}

/// Writes all that is to be written, in the order of paths: a parent is made before its children. Only the
/// parent of what came or went as a whole has to be told; nobody saw the children of what is new.
fn apply(tree: &mut Tree, touched: BTreeMap<Key, Touched>) {
    let mut top: Option<Key> = None;
    for (path, touched) in touched.into_iter().filter(|(_, touched)| touched.is_written) {
        let is_other = match touched.now {
            Some(node) => tree.put(path.path().clone(), node.value, node.perms),
            None => tree.remove(&path),
        };
        let is_within = top.as_ref().is_some_and(|top| path::is_at_or_below(&path, top));
        if is_other && !is_within {
            tree.note_children(&path);
            top = Some(path);
        }
    }
}
