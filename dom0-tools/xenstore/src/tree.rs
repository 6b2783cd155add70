//! The nodes, and who is charged for them.
//!
//! Nodes lie in one map by their whole path, so that everything below a path is one range. Only
//! `transaction::commit` changes it. Each change gets a new generation: one of the node itself (value,
//! permissions, that it exists) and one of the set of its children.
//!
//! Invariant: the root exists, and so does the parent of every node; `usage` is what a count of all
//! nodes by owner gives.

use crate::access::Perms;
use crate::key::{Key, Path};
use alloc::collections::btree_map::Entry;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ops::Bound;
use hypercall_abi::DomId;
use pv_xenbus::path::{self, ROOT};

/// What a node costs beside its path, value and permissions.
const OVERHEAD: usize = 64;
/// What an entry of the permissions costs.
const PERM_COST: usize = 4;

/// One node; copies share its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Its value.
    pub value: Arc<[u8]>,
    /// Who may do what.
    pub perms: Perms,
    /// When value or permissions changed, or it was made.
    pub generation: u64,
    /// When a child was made or removed.
    pub children_generation: u64,
}

impl Node {
    /// Bytes its owner is charged for.
    #[must_use]
    pub fn cost(&self, path: &str) -> usize {
        OVERHEAD + path.len() + self.value.len() + self.perms.list().len() * PERM_COST
    }
}

/// What a domain uses, and where else it is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Nodes.
    pub nodes: usize,
    /// Bytes.
    pub bytes: usize,
    /// Entries in the permissions of nodes, its own and those of others.
    pub entries: usize,
}

impl Usage {
    /// Whether no node knows of the domain.
    #[must_use]
    pub fn is_nothing(&self) -> bool {
        self.nodes == 0 && self.entries == 0
    }
}

/// All nodes.
#[derive(Clone, Debug)]
pub struct Tree {
    nodes: BTreeMap<Key, Node>,
    generation: u64,
    usage: BTreeMap<DomId, Usage>,
}

impl Default for Tree {
    fn default() -> Self {
        Self::new()
    }
}

impl Tree {
    /// The root, of the control domain alone.
    #[must_use]
    pub fn new() -> Self {
        let mut tree = Self { nodes: BTreeMap::new(), generation: 0, usage: BTreeMap::new() };
        tree.put(Arc::from(ROOT), Arc::from([].as_slice()), Perms::control_only());
        tree
    }

    /// A node.
    #[must_use]
    pub fn get(&self, path: &str) -> Option<&Node> {
        self.nodes.get(Path::of(path))
    }

    /// Every node with its path, parents first.
    pub fn iter(&self) -> impl Iterator<Item = (&Arc<str>, &Node)> {
        self.nodes.iter().map(|(path, node)| (path.path(), node))
    }

    /// What a domain uses.
    #[must_use]
    pub fn usage(&self, domain: DomId) -> Usage {
        self.usage.get(&domain).copied().unwrap_or_default()
    }

    /// Names of the children of a node, in the order of their bytes.
    #[must_use]
    pub fn children(&self, path: &str) -> Vec<Arc<str>> {
        let prefix = match path {
            ROOT => String::from(ROOT),
            _ => format!("{path}/"),
        };
        let mut names = Vec::new();
        let mut from = Bound::Excluded(prefix.clone());
        while let Some((key, _)) =
            self.nodes.range::<Path, _>((as_path(&from), Bound::Unbounded)).next()
        {
            let Some(rest) = key.strip_prefix(prefix.as_str()) else { break };
            from = match rest.split_once('/') {
                None => {
                    names.push(Arc::from(rest));
                    Bound::Excluded(String::from(&**key))
                }
                // A grandchild: its parent was seen already, go behind all that is below that. '0'
                // is the byte behind '/'.
                Some((name, _)) => Bound::Included(format!("{prefix}{name}0")),
            };
        }
        names
    }

    /// Makes or replaces a node; says whether it made it. The parent exists already, and is told of a new
    /// child by [`Tree::note_children`].
    pub(crate) fn put(&mut self, path: Arc<str>, value: Arc<[u8]>, perms: Perms) -> bool {
        self.generation += 1;
        let generation = self.generation;
        let mut node = Node { value, perms, generation, children_generation: generation };
        charge(&mut self.usage, &path, &node);
        match self.nodes.entry(Key::from(path)) {
            Entry::Vacant(place) => {
                place.insert(node);
                true
            }
            Entry::Occupied(mut place) => {
                node.children_generation = place.get().children_generation;
                let old = place.insert(node);
                discharge(&mut self.usage, place.key(), &old);
                false
            }
        }
    }

    /// Removes a node; says whether there was one. What is below it goes in the same commit. The parent is
    /// told as of a new one.
    pub(crate) fn remove(&mut self, path: &str) -> bool {
        let Some(old) = self.nodes.remove(Path::of(path)) else { return false };
        self.generation += 1;
        discharge(&mut self.usage, path, &old);
        true
    }

    /// Notes that the set of children changed of which this is or was one.
    pub(crate) fn note_children(&mut self, path: &str) {
        let generation = self.generation;
        if let Some(parent) =
            path::parent(path).and_then(|parent| self.nodes.get_mut(Path::of(parent)))
        {
            parent.children_generation = generation;
        }
    }

    /// The first thing wrong with the tree, if anything is; for `CONTROL check` and tests.
    #[must_use]
    pub fn check(&self) -> Option<String> {
        let mut usage: BTreeMap<DomId, Usage> = BTreeMap::new();
        for (path, node) in self.iter() {
            if !path::is_valid(path) {
                return Some(format!("{path}: not a path"));
            }
            if path::parent(path).is_some_and(|parent| self.get(parent).is_none()) {
                return Some(format!("{path}: no parent"));
            }
            if node.generation.max(node.children_generation) > self.generation {
                return Some(format!("{path}: from the future"));
            }
            charge(&mut usage, path, node);
        }
        (usage != self.usage).then(|| String::from("the usage of domains is miscounted"))
    }
}

fn charge(usage: &mut BTreeMap<DomId, Usage>, path: &str, node: &Node) {
    let owner = usage.entry(node.perms.owner()).or_default();
    owner.nodes += 1;
    owner.bytes += node.cost(path);
    for perm in node.perms.list().iter().skip(1) {
        usage.entry(perm.domain).or_default().entries += 1;
    }
}

fn discharge(usage: &mut BTreeMap<DomId, Usage>, path: &str, node: &Node) {
    let mut subtract = |domain, nodes, bytes, entries| {
        let Some(used) = usage.get_mut(&domain) else { return };
        used.nodes = used.nodes.saturating_sub(nodes);
        used.bytes = used.bytes.saturating_sub(bytes);
        used.entries = used.entries.saturating_sub(entries);
        if used.is_nothing() {
            usage.remove(&domain);
        }
    };
    subtract(node.perms.owner(), 1, node.cost(path), 0);
    for perm in node.perms.list().iter().skip(1) {
        subtract(perm.domain, 0, 0, 1);
    }
}

fn as_path(bound: &Bound<String>) -> Bound<&Path> {
    bound.as_ref().map(|text| Path::of(text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::collections::BTreeSet;
    use proptest::prelude::*;

    fn put(tree: &mut Tree, path: &str) {
        tree.put(Arc::from(path), Arc::from(&b"v"[..]), Perms::control_only());
    }

    proptest! {
        #[test]
        fn children_are_those_a_slow_look_finds(
            names in prop::collection::vec(prop::collection::vec("[-0a]{1,2}", 1..4), 0..12),
        ) {
            let mut tree = Tree::new();
            for names in &names {
                let mut path = String::new();
                for name in names {
                    path = format!("{path}/{name}");
                    put(&mut tree, &path);
                }
            }
            prop_assert_eq!(tree.check(), None);
            let paths: Vec<String> = tree.iter().map(|(path, _)| String::from(&**path)).collect();
            for top in &paths {
                let slow: BTreeSet<&str> = paths.iter()
                    .filter(|path| path::parent(path) == Some(top.as_str()))
                    .map(|path| path::name(path))
                    .collect();
                let fast = tree.children(top);
                prop_assert_eq!(fast.len(), slow.len());
                prop_assert_eq!(fast.iter().map(|name| &**name).collect::<BTreeSet<_>>(), slow);
            }
        }
    }
}
