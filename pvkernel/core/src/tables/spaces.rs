//! Spaces by number, and which of them is active: `platform::User`, as far as page tables go.

use alloc::vec::Vec;
use core::sync::atomic::{AtomicUsize, Ordering};

use super::store::Store;
use super::tree::Tree;
use super::{Stale, Tables};
use crate::platform::{Change, OutOfMemory, SpaceId};
use crate::sync::Lock;

/// No space is active.
const NONE: usize = usize::MAX;

struct State<M: Tables> {
    spaces: Vec<Option<Tree<M::Table>>>,
    store: Store<M>,
}

impl<M: Tables> State<M> {
    #[inline]
    fn find(&mut self, id: SpaceId) -> Option<(&mut Tree<M::Table>, &mut Store<M>)> {
        let tree = self.spaces.get_mut(id.0)?.as_mut()?;
        Some((tree, &mut self.store))
    }
}

/// The spaces of a machine.
pub struct Spaces<M: Tables> {
    /// The number of the space that runs.
    active: AtomicUsize,
    state: Lock<State<M>>,
}

impl<M: Tables> Spaces<M> {
    /// No space.
    #[must_use]
    pub const fn new(machine: M) -> Self {
        let state = State { spaces: Vec::new(), store: Store::new(machine) };
        Self { active: AtomicUsize::new(NONE), state: Lock::new(state) }
    }

    /// Takes the memory for what is kept; before the first space.
    pub fn reserve(&self) {
        self.state.lock().store.reserve();
    }

    fn is_active(&self, id: SpaceId) -> bool {
        self.active.load(Ordering::Relaxed) == id.0
    }

    /// Makes an empty space.
    ///
    /// # Errors
    /// Without memory.
    pub fn new_space(&self) -> Result<SpaceId, OutOfMemory> {
        let mut state = self.state.lock();
        let State { spaces, store } = &mut *state;
        spaces.try_reserve(1).map_err(|_| OutOfMemory)?;
        let mut tree = store.tree()?;
        if !tree.is_live && store.machine.is_early() {
            tree.go_live(&mut store.machine);
        }
        let place = spaces.iter().position(Option::is_none).unwrap_or(spaces.len());
        match spaces.get_mut(place) {
            Some(free) => *free = Some(tree),
            None => spaces.push(Some(tree)),
        }
        Ok(SpaceId(place))
    }

    /// Frees a space. What is cached of it is in nobody's way: the next one that is activated forgets it.
    pub fn free_space(&self, id: SpaceId) {
        let mut state = self.state.lock();
        let State { spaces, store } = &mut *state;
        let Some(tree) = spaces.get_mut(id.0).and_then(Option::take) else { return };
        if self.is_active(id) {
            self.active.store(NONE, Ordering::Relaxed);
            store.is_idle = true;
        }
        store.put_away(tree);
    }

    /// Makes changes. What was made is carried out even when there is no memory for the rest.
    ///
    /// # Errors
    /// Without memory for tables.
    pub fn change(&self, id: SpaceId, changes: &[Change]) -> Result<(), OutOfMemory> {
        let is_active = self.is_active(id);
        let mut state = self.state.lock();
        let Some((tree, store)) = state.find(id) else { return Ok(()) };
        let machine = &mut store.machine;
        // A page fault does mostly no more.
        if let [change] = changes {
            if let Some(was_present) = tree.change_one(machine, change) {
                if was_present && is_active {
                    machine.forget(Some(&[change.address]));
                }
                return Ok(());
            }
        }
        change_all(tree, store, changes, is_active)
    }

    /// Lets a block be written, or not: the processor wants the right at each level.
    pub fn set_block_writable(&self, id: SpaceId, address: u64, writable: bool) {
        let is_active = self.is_active(id);
        let mut state = self.state.lock();
        let Some((tree, store)) = state.find(id) else { return };
        if tree.set_writable(&mut store.machine, address, writable) {
            store.machine.carry_out();
            if is_active {
                store.machine.forget(None);
            }
        }
    }

    /// Makes a space the active one.
    #[inline]
    pub fn activate(&self, id: SpaceId) {
        if self.active.swap(id.0, Ordering::Relaxed) == id.0 {
            return;
        }
        let mut state = self.state.lock();
        let Some((tree, store)) = state.find(id) else { return };
        if !tree.is_live {
            tree.go_live(&mut store.machine);
        }
        store.machine.load(Some(tree.root));
        store.is_idle = false;
    }

    /// Frames that are tables of spaces.
    #[must_use]
    pub fn table_frames(&self) -> usize {
        self.state.lock().spaces.iter().flatten().map(Tree::len).sum()
    }

    /// Frames of tables that are kept.
    #[must_use]
    pub fn spare_frames(&self) -> usize {
        self.state.lock().store.frames()
    }

    /// Frees a frame of a table that is kept, or several; false without one.
    pub fn give_up_spare(&self) -> bool {
        self.state.lock().store.give_up()
    }

    /// The root of a space.
    #[cfg(test)]
    pub(super) fn root_of(&self, id: SpaceId) -> M::Table {
        self.state.lock().find(id).expect("a space exists").0.root
    }
}

/// Makes any number of changes.
#[inline(never)]
fn change_all<M: Tables>(
    tree: &mut Tree<M::Table>,
    store: &mut Store<M>,
    changes: &[Change],
    is_active: bool,
) -> Result<(), OutOfMemory> {
    let mut stale = Stale::new();
    let result = tree.change(store, changes, &mut stale);
    store.machine.carry_out();
    if is_active {
        stale.forget(&mut store.machine);
    }
    result
}
