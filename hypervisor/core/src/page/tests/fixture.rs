//! A world in which each domain has frames for a few tables of each level, and shorthands.

use hypercall_abi::mmu::pte;
use hypercall_abi::{DomId, GuestVa, Mfn};

use super::super::testkit::FrameWorld;
use super::super::{
    drop_allocation, get_page, put_page, EntryUpdate, Level, MmuState, PageError, PageTables,
    Progress, Stop, UpdateMode,
};

/// Frames of each domain.
pub const FRAMES_PER_DOMAIN: u64 = 24;
pub const DOM0: DomId = DomId::DOM0;
pub const DOMU: DomId = DomId::new(1);

pub const P: u64 = pte::PRESENT;
pub const RW: u64 = pte::RW;
pub const US: u64 = pte::USER;

/// First frame of a domain.
pub const fn base(dom: DomId) -> u64 {
    dom.get() as u64 * FRAMES_PER_DOMAIN
}

/// The frame of `dom` that programs use as table `number` of `level` (two or more of each).
pub const fn table(dom: DomId, level: Level, number: u64) -> Mfn {
    Mfn::new(
        base(dom)
            + match level {
                Level::L4 => number % 2,
                Level::L3 => 2 + number % 2,
                Level::L2 => 4 + number % 3,
                Level::L1 => 7 + number % 5,
            },
    )
}

/// A frame of `dom` that programs use as data.
pub const fn data(dom: DomId, number: u64) -> Mfn {
    Mfn::new(base(dom) + 12 + number % 12)
}

pub fn entry(mfn: Mfn, flags: u64) -> u64 {
    pte::make(mfn, flags)
}

/// Two domains with their frames; no tables yet.
pub fn world() -> FrameWorld {
    let world = FrameWorld::new(2 * FRAMES_PER_DOMAIN as usize);
    for dom in [DOM0, DOMU] {
        world.give(dom, base(dom)..base(dom) + FRAMES_PER_DOMAIN);
    }
    world
}

/// Writes a tree of one table per level with three data pages (writable, read-only, kernel).
pub fn plant_tree(world: &FrameWorld, dom: DomId) {
    let at = |level| table(dom, level, 0);
    world.poke(at(Level::L4), 0, entry(at(Level::L3), P | RW | US));
    world.poke(at(Level::L3), 0, entry(at(Level::L2), P | RW | US));
    world.poke(at(Level::L2), 0, entry(at(Level::L1), P | RW | US));
    world.poke(at(Level::L1), 0, entry(data(dom, 0), P | RW | US));
    world.poke(at(Level::L1), 1, entry(data(dom, 1), P | US));
    world.poke(at(Level::L1), 2, entry(data(dom, 2), P | RW));
}

pub const ENDLESS: u32 = u32::MAX;

/// A domain under test: its lock's content and shorthands for operations without preemption.
pub struct Dom<'w> {
    pub world: &'w FrameWorld,
    pub id: DomId,
    pub mmu: MmuState,
}

impl<'w> Dom<'w> {
    pub fn new(world: &'w FrameWorld, id: DomId) -> Self {
        Self { world, id, mmu: MmuState::default() }
    }

    pub fn tables(&self) -> PageTables<'w, FrameWorld> {
        PageTables::new(self.world, self.id, self.id)
    }

    pub fn pin(&mut self, mfn: Mfn, level: Level) -> Result<(), PageError> {
        whole(self.tables().pin(&mut self.mmu, mfn, level, &mut ENDLESS.clone()))
    }

    pub fn unpin(&mut self, mfn: Mfn) -> Result<(), PageError> {
        whole(self.tables().unpin(&mut self.mmu, mfn, &mut ENDLESS.clone()))
    }

    pub fn switch_root(&mut self, new: Mfn, old: Option<Mfn>) -> Result<(), PageError> {
        whole(self.tables().switch_root(&mut self.mmu, Some(new), old, &mut ENDLESS.clone()))
    }

    pub fn put_root(&mut self, old: Mfn) {
        let budget = &mut ENDLESS.clone();
        whole(self.tables().switch_root(&mut self.mmu, None, Some(old), budget)).expect("held");
    }

    pub fn update(&mut self, table: Mfn, index: usize, value: u64) -> Result<bool, PageError> {
        self.update_of(table, index, value, self.id)
    }

    pub fn update_of(
        &mut self,
        table: Mfn,
        index: usize,
        value: u64,
        page_owner: DomId,
    ) -> Result<bool, PageError> {
        let update = EntryUpdate { table, index, value, mode: UpdateMode::Normal, page_owner };
        self.apply(&update)
    }

    pub fn apply(&mut self, update: &EntryUpdate) -> Result<bool, PageError> {
        let progress = self.tables().update_entry(&mut self.mmu, update, &mut ENDLESS.clone());
        whole(progress).map(|updated| updated.flush_domain)
    }

    pub fn relinquish(&mut self) {
        let first = || self.world.first_frame(self.id);
        whole(self.tables().relinquish(&mut self.mmu, first, &mut ENDLESS.clone()))
            .expect("cannot be refused");
    }
}

/// The result of an operation that has had budget enough.
pub fn whole<T>(progress: Progress<T>) -> Result<T, PageError> {
    progress.map_err(|stop| match stop {
        Stop::Refused(error) => error,
        Stop::Preempted => panic!("preempted with an endless budget"),
    })
}

/// Root of the planted tree.
pub const ROOT: Mfn = table(DOMU, Level::L4, 0);
/// Its table below the root.
pub const TOP: Mfn = table(DOMU, Level::L3, 0);
/// Its table above the leaf table.
pub const MIDDLE: Mfn = table(DOMU, Level::L2, 0);
/// Its leaf table.
pub const LEAF: Mfn = table(DOMU, Level::L1, 0);

/// A plain domain whose planted tree is pinned.
pub fn pinned(world: &FrameWorld) -> Dom<'_> {
    plant_tree(world, DOMU);
    let mut dom = Dom::new(world, DOMU);
    dom.pin(ROOT, Level::L4).expect("the planted tree is good");
    dom
}

/// The privileged domain with a pinned leaf table.
pub fn privileged(world: &FrameWorld) -> (Dom<'_>, Mfn) {
    let mut dom = Dom::new(world, DOM0);
    let leaf = table(DOM0, Level::L1, 0);
    dom.pin(leaf, Level::L1).expect("empty");
    (dom, leaf)
}

/// What teardown does to a frame: its allocation ends, and references that are left keep it alive.
pub fn release_allocation(world: &FrameWorld, mfn: Mfn, owner: DomId) -> Result<(), PageError> {
    let held = get_page(world, mfn, owner)?;
    let dropped = drop_allocation(world, &held);
    put_page(world, held);
    dropped
}

/// The place of the entry for an address, if it is in a validated leaf table.
pub fn leaf_slot(tables: &PageTables<'_, FrameWorld>, va: GuestVa) -> Option<(Mfn, usize)> {
    tables.leaf_place(ROOT, va).filter(|(table, _)| tables.is_leaf_table(*table))
}
