//! Watches: who wants to hear of which path.
//!
//! They are found by the path that changed and those above it. Whether the watcher may know of the
//! change is decided by `server`, which has the permissions.

use crate::key::{Key, Path};
use crate::server::Conn;
use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;
use pv_xenbus::path;

/// One watch.
#[derive(Debug, PartialEq, Eq)]
pub struct Watch {
    /// Names it among all watches there ever were.
    pub id: u64,
    /// Who set it.
    pub owner: Conn,
    /// The absolute path, or a special name.
    pub path: Arc<str>,
    /// The home it is relative to, if it was set with a relative path.
    pub relative_to: Option<Arc<str>>,
    /// Chosen by the watcher, returned with each event.
    pub token: Arc<[u8]>,
}

impl Watch {
    /// A path as this watcher wants to see it.
    #[must_use]
    pub fn shown<'a>(&self, changed: &'a str) -> &'a str {
        match &self.relative_to {
            Some(home) => path::relative(home, changed),
            None => changed,
        }
    }
}

/// All watches, by path.
#[derive(Debug, Default)]
pub struct Watches {
    by_path: BTreeMap<Key, Vec<Arc<Watch>>>,
}

impl Watches {
    /// Adds a watch.
    pub fn add(&mut self, watch: Arc<Watch>) {
        self.by_path.entry(Key::from(watch.path.clone())).or_default().push(watch);
    }

    /// Ends a watch.
    pub fn remove(&mut self, watch: &Watch) {
        if let Some(list) = self.by_path.get_mut(Path::of(&watch.path)) {
            list.retain(|other| other.id != watch.id);
            list.shrink_to_fit();
            if list.is_empty() {
                self.by_path.remove(Path::of(&watch.path));
            }
        }
    }

    /// The watches that a change at `changed` concerns: of that path and, unless only exactly that
    /// path is meant, of all above it. In the order in which they were set.
    #[must_use]
    pub fn matching(&self, changed: &str, exact: bool) -> Vec<Arc<Watch>> {
        let mut found: Vec<Arc<Watch>> = Vec::new();
        let mut at = Some(changed);
        while let Some(path) = at {
            found.extend(self.by_path.get(Path::of(path)).into_iter().flatten().cloned());
            at = if exact { None } else { path::parent(path) };
        }
        found.sort_by_key(|watch| watch.id);
        found
    }

    /// Number of watches.
    #[must_use]
    pub fn len(&self) -> usize {
        self.by_path.values().map(Vec::len).sum()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_path.is_empty()
    }
}
