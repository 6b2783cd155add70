//! What is kept for the next process: emptied trees, and single tables.

use alloc::vec::Vec;

use super::tree::Tree;
use super::Tables;
use crate::platform::OutOfMemory;

/// Trees that are kept at most.
pub const SPARES: usize = 8;
/// Tables a tree may have to be kept.
pub const SPARE_TABLES: usize = 9;
/// Single tables that are kept at most.
pub const POOL: usize = 16;

/// The machine, and what nobody uses.
pub(super) struct Store<M: Tables> {
    pub(super) machine: M,
    spares: Vec<Tree<M::Table>>,
    pool: Vec<M::Table>,
    /// The root that is loaded is of no space any more.
    pub(super) is_idle: bool,
}

impl<M: Tables> Store<M> {
    pub(super) const fn new(machine: M) -> Self {
        Self { machine, spares: Vec::new(), pool: Vec::new(), is_idle: false }
    }

    /// Takes the memory for what is kept, once: the heap does not depend on how much it is.
    pub(super) fn reserve(&mut self) {
        self.spares.reserve_exact(SPARES);
        self.pool.reserve_exact(POOL);
    }

    /// An empty table; if there is no memory, one of a tree that is kept.
    pub(super) fn take(&mut self) -> Result<M::Table, OutOfMemory> {
        if let Some(table) = self.pool.pop() {
            return Ok(table);
        }
        if let Some(table) = self.machine.alloc() {
            return Ok(table);
        }
        self.give_up_tree();
        self.pool.pop().ok_or(OutOfMemory)
    }

    fn give(&mut self, table: M::Table) {
        if self.pool.len() >= POOL {
            return self.machine.free(table);
        }
        self.machine.clear(table);
        self.pool.push(table);
    }

    /// A tree that is kept, or a new one.
    pub(super) fn tree(&mut self) -> Result<Tree<M::Table>, OutOfMemory> {
        match self.spares.pop() {
            Some(tree) => Ok(tree),
            None => Tree::new(self),
        }
    }

    /// Keeps a tree for another process, or takes it apart.
    pub(super) fn put_away(&mut self, mut tree: Tree<M::Table>) {
        let is_small = self.spares.len() < SPARES && tree.len() <= SPARE_TABLES;
        if !(tree.is_live && is_small && self.machine.is_keeping()) {
            return self.destroy(tree);
        }
        tree.empty(&mut self.machine);
        self.spares.push(tree);
    }

    fn destroy(&mut self, tree: Tree<M::Table>) {
        if core::mem::take(&mut self.is_idle) {
            self.machine.load(None);
        }
        if tree.is_live {
            self.machine.unpin(tree.root);
            tree.all().for_each(|table| self.machine.unseal(table));
            self.machine.carry_out();
            self.machine.forget(None);
        }
        tree.all().for_each(|table| self.give(table));
    }

    fn give_up_tree(&mut self) {
        if let Some(tree) = self.spares.pop() {
            self.destroy(tree);
        }
    }

    /// Frames that are kept.
    pub(super) fn frames(&self) -> usize {
        self.pool.len() + self.spares.iter().map(Tree::len).sum::<usize>()
    }

    /// Frees a frame that is kept, or several; false without one.
    pub(super) fn give_up(&mut self) -> bool {
        if self.pool.is_empty() {
            self.give_up_tree();
        }
        let given = self.pool.pop();
        given.inspect(|table| self.machine.free(*table)).is_some()
    }
}
