//! Page tables of programs.
//!
//! A space begins as ordinary memory that is filled by plain stores. When it is first used it is sealed and
//! pinned: checked as a whole, once. From then on it is *live*, and changes are batches of updates. A
//! space whose process ended is emptied and kept live for the next process (`SPARES`): making and taking
//! apart a tree of tables costs more than all its entries.
//!
//! What always holds: `present` has a bit for each entry of a block that maps something; frames of live
//! spaces are sealed, all others are writable.

use alloc::vec::Vec;
use core::sync::atomic::{AtomicUsize, Ordering};

use hypercall_abi::mmu::{mmuext, pte, MmuUpdate, MmuextOp, MMU_NORMAL_PT_UPDATE};
use hypercall_abi::{vm_assist, Mfn};
use pvkernel_core::platform::{Change, OutOfMemory, SpaceId, UserAccess, BLOCK};
use pvkernel_core::sync::Lock;

use super::run;
use super::tables::{flush_all, machine, operate, update, Batch, Table};
use super::tricks::{self, Trick};
use crate::hypercall::misc;
use crate::mmu::{self, TABLE};
use crate::{boot, frames};
use hypercall_abi::Pfn;

/// Spaces that are kept for the next process.
const SPARES: usize = 8;
/// Blocks a space may have to be kept.
const SPARE_BLOCKS: usize = 6;
/// Pages that are flushed one by one.
const FLUSH_SINGLE: usize = 4;

/// A table that leads to others.
struct Upper {
    level: u32,
    /// The addresses it serves: those with these upper bits.
    key: u64,
    table: Table,
}

/// A table that maps pages.
struct Block {
    key: u64,
    table: Table,
    /// Machine address of the entry that leads here.
    parent: u64,
    writable: bool,
    present: [u64; 8],
}

/// The tables of a program.
struct Space {
    root: Table,
    upper: Vec<Upper>,
    blocks: Vec<Block>,
    is_live: bool,
}

struct State {
    spaces: Vec<Option<Space>>,
    spares: Vec<Space>,
    pool: Vec<Table>,
    /// Tables of all spaces that are in use.
    tables: usize,
    /// The root that the hypervisor has for user mode.
    loaded: Mfn,
}

static STATE: Lock<State> = Lock::new(State {
    spaces: Vec::new(),
    spares: Vec::new(),
    pool: Vec::new(),
    tables: 0,
    loaded: Mfn::INVALID,
});

/// The space that `run` uses; its number.
static ACTIVE: AtomicUsize = AtomicUsize::new(usize::MAX);

fn entry_flags(access: UserAccess) -> u64 {
    let write = if access.write { pte::RW | pte::DIRTY } else { 0 };
    let execute = if access.execute { 0 } else { pte::NX };
    pte::PRESENT | pte::USER | pte::ACCESSED | write | execute
}

fn entry_for(page: Option<(usize, UserAccess)>) -> u64 {
    page.map_or(0, |(frame, access)| machine(Pfn::new(frame as u64)).maddr() | entry_flags(access))
}

impl Space {
    fn new(pool: &mut Vec<Table>) -> Result<Self, OutOfMemory> {
        let root = Table::take(pool)?;
        let space = Self { root, upper: Vec::new(), blocks: Vec::new(), is_live: false };
        Ok(space)
    }

    fn tables(&self) -> usize {
        1 + self.upper.len() + self.blocks.len()
    }

    fn all(&self) -> impl Iterator<Item = Table> + '_ {
        let upper = self.upper.iter().map(|upper| upper.table);
        let blocks = self.blocks.iter().map(|block| block.table);
        core::iter::once(self.root).chain(upper).chain(blocks)
    }

    /// The place of the block of an address.
    fn find(&self, key: u64) -> Option<usize> {
        self.blocks.iter().position(|block| block.key == key)
    }

    /// Makes tables down to the block of an address. In a live space the new ones are hooked in by the
    /// last update of the batch, when `fill` has been called with the new lowest table.
    fn grow(
        &mut self,
        address: u64,
        pool: &mut Vec<Table>,
        batch: &mut Batch,
        fill: impl FnOnce(Table, &mut [u64; 8]),
    ) -> Result<usize, OutOfMemory> {
        self.upper.try_reserve(2).map_err(|_| OutOfMemory)?;
        self.blocks.try_reserve(1).map_err(|_| OutOfMemory)?;
        // Those that are there already.
        let found = |level: u32| {
            let key = address >> (12 + 9 * level);
            let is_it = |upper: &&Upper| upper.level == level && upper.key == key;
            self.upper.iter().find(is_it).map(|upper| upper.table)
        };
        let (level3, level2) = (found(3), found(2));
        let missing = 1 + usize::from(level3.is_none()) + usize::from(level2.is_none());
        let mut fresh = [self.root; 3];
        for (count, place) in fresh[..missing].iter_mut().enumerate() {
            match Table::take(pool) {
                Ok(table) => *place = table,
                Err(error) => {
                    fresh[..count].iter().for_each(|table| table.give(pool));
                    return Err(error);
                }
            }
        }
        let mut fresh = fresh[..missing].iter().copied();
        let mut hooks = [(self.root, 0, self.root); 3];
        let mut count = 0;
        let mut parent = self.root;
        for (level, there) in [(3, level3), (2, level2), (1, None)] {
            let table = match there {
                Some(table) => table,
                None => {
                    let table = fresh.next().ok_or(OutOfMemory)?;
                    hooks[count] = (parent, mmu::index(address, level + 1), table);
                    count += 1;
                    if level > 1 {
                        let key = address >> (12 + 9 * level);
                        self.upper.push(Upper { level, key, table });
                    }
                    table
                }
            };
            if level > 1 {
                parent = table;
            } else {
                self.blocks.push(Block {
                    key: address / BLOCK,
                    table,
                    parent: parent.entry(mmu::index(address, 2)),
                    writable: true,
                    present: [0; 8],
                });
            }
        }
        let place = self.blocks.len() - 1;
        let block = &mut self.blocks[place];
        fill(block.table, &mut block.present);
        // From below: a table that is hooked in must be complete.
        for (nr, (parent, index, table)) in hooks[..count].iter().enumerate().rev() {
            let entry = table.mfn.maddr() | TABLE;
            if !self.is_live {
                parent.write(*index, entry);
                continue;
            }
            batch.seal(*table);
            match nr {
                0 => batch.set(parent.entry(*index), entry),
                // The parent is new, too, and not sealed yet.
                _ => parent.write(*index, entry),
            }
        }
        Ok(place)
    }

    /// Seals and pins all tables.
    fn go_live(&mut self) {
        let mut batch = Batch::new();
        self.all().for_each(|table| batch.seal(table));
        batch.carry_out();
        operate(&[MmuextOp::with_mfn(mmuext::PIN_L4_TABLE, self.root.mfn)]);
        self.is_live = true;
    }

    /// Empties a live space without changing its tables.
    fn empty(&mut self) {
        let mut batch = Batch::new();
        for block in &mut self.blocks {
            for (word, bits) in block.present.iter_mut().enumerate() {
                let mut bits = core::mem::take(bits);
                while bits != 0 {
                    let index = word * 64 + bits.trailing_zeros() as usize;
                    bits &= bits - 1;
                    batch.set(block.table.entry(index), 0);
                }
            }
            if !block.writable {
                batch.set(block.parent, block.table.mfn.maddr() | TABLE);
                block.writable = true;
            }
        }
        batch.carry_out();
    }

    /// Takes a space apart.
    fn destroy(self, pool: &mut Vec<Table>) {
        if self.is_live {
            operate(&[MmuextOp::with_mfn(mmuext::UNPIN_TABLE, self.root.mfn)]);
            let mut batch = Batch::new();
            self.all().for_each(|table| batch.unseal(table));
            batch.carry_out();
            operate(&[flush_all()]);
        }
        self.all().for_each(|table| table.give(pool));
    }
}

fn note(present: &mut [u64; 8], index: usize, entry: u64) {
    let bit = 1 << (index % 64);
    match entry {
        0 => present[index / 64] &= !bit,
        _ => present[index / 64] |= bit,
    }
}

/// What is done before the first space: the builder's own mapping of frames that are free now would keep
/// them from becoming tables.
fn prepare() {
    static DONE: spin::Once<()> = spin::Once::new();
    DONE.call_once(|| {
        tricks::init();
        run::init();
        // SAFETY: nobody uses frames by that mapping that were given to the frame allocator.
        unsafe { mmu::forget_initial_from(boot::first_free()) };
        // Programs need not see which machine frames there are; a hypervisor that cannot hide it may refuse.
        let _ = misc::vm_assist(vm_assist::CMD_ENABLE, vm_assist::TYPE_M2P_STRICT);
        if tricks::is_on(Trick::DirectWrites) {
            let kind = vm_assist::TYPE_WRITABLE_PAGETABLES;
            let enabled = misc::vm_assist(vm_assist::CMD_ENABLE, kind);
            enabled.expect("emulated writes can be turned on");
        }
        let mut state = STATE.lock();
        state.spares.reserve_exact(SPARES);
        state.pool.reserve_exact(super::tables::POOL);
    });
}

/// Makes an empty space.
pub(super) fn new_space() -> Result<SpaceId, OutOfMemory> {
    prepare();
    let mut state = STATE.lock();
    let state = &mut *state;
    state.spaces.try_reserve(1).map_err(|_| OutOfMemory)?;
    let mut space = match state.spares.pop() {
        Some(space) => space,
        None => Space::new(&mut state.pool)?,
    };
    if !space.is_live && tricks::is_on(Trick::EarlyPin) {
        space.go_live();
    }
    state.tables += space.tables();
    let place = state.spaces.iter().position(Option::is_none).unwrap_or(state.spaces.len());
    if place == state.spaces.len() {
        state.spaces.push(None);
    }
    state.spaces[place] = Some(space);
    Ok(SpaceId(place))
}

/// Frees a space.
pub(super) fn free_space(id: SpaceId) {
    let _ = ACTIVE.compare_exchange(id.0, usize::MAX, Ordering::Relaxed, Ordering::Relaxed);
    let mut state = STATE.lock();
    let state = &mut *state;
    let Some(mut space) = state.spaces.get_mut(id.0).and_then(Option::take) else { return };
    state.tables -= space.tables();
    let is_kept = space.is_live
        && state.spares.len() < SPARES
        && space.blocks.len() <= SPARE_BLOCKS
        && !tricks::is_on(Trick::NoRecycle);
    if is_kept {
        space.empty();
        return state.spares.push(space);
    }
    state.destroy(space);
}

impl State {
    fn destroy(&mut self, space: Space) {
        if self.loaded == space.root.mfn {
            operate(&[MmuextOp::with_mfn(mmuext::NEW_USER_BASEPTR, Mfn::new(0))]);
            self.loaded = Mfn::INVALID;
        }
        space.destroy(&mut self.pool);
    }
}

/// Makes changes.
pub(super) fn change(id: SpaceId, changes: &[Change]) -> Result<(), OutOfMemory> {
    let is_active = ACTIVE.load(Ordering::Relaxed) == id.0;
    let mut state = STATE.lock();
    let state = &mut *state;
    let Some(space) = state.spaces.get_mut(id.0).and_then(Option::as_mut) else { return Ok(()) };
    if let ([change], true) = (changes, space.is_live) {
        if let Some(place) = space.find(change.address / BLOCK) {
            change_one(&mut space.blocks[place], change, is_active);
            return Ok(());
        }
    }
    let mut batch = Batch::new();
    let mut stale = [0; FLUSH_SINGLE];
    let mut stale_count = 0;
    let writes = !space.is_live || tricks::is_on(Trick::DirectWrites);
    let mut rest = changes;
    while let Some((first, behind)) = rest.split_first() {
        let key = first.address / BLOCK;
        let Some(place) = space.find(key) else {
            let same = rest.iter().take_while(|change| change.address / BLOCK == key).count();
            let (now, behind) = rest.split_at(same);
            let before = space.tables();
            space.grow(first.address, &mut state.pool, &mut batch, |table, present| {
                for change in now {
                    let (index, entry) = (mmu::index(change.address, 1), entry_for(change.page));
                    table.write(index, entry);
                    note(present, index, entry);
                }
            })?;
            state.tables += space.tables() - before;
            rest = behind;
            continue;
        };
        let block = &mut space.blocks[place];
        let (index, entry) = (mmu::index(first.address, 1), entry_for(first.page));
        let was_present = block.present[index / 64] & 1 << (index % 64) != 0;
        match writes {
            true => block.table.write(index, entry),
            false => batch.set(block.table.entry(index), entry),
        }
        note(&mut block.present, index, entry);
        if was_present {
            if let Some(place) = stale.get_mut(stale_count) {
                *place = first.address;
            }
            stale_count += 1;
        }
        rest = behind;
    }
    batch.carry_out();
    if is_active && stale_count > 0 {
        flush(&stale, stale_count);
    }
    Ok(())
}

/// Changes one entry of a live space: a page fault does mostly no more.
fn change_one(block: &mut Block, change: &Change, is_active: bool) {
    let (index, entry) = (mmu::index(change.address, 1), entry_for(change.page));
    let was_present = block.present[index / 64] & 1 << (index % 64) != 0;
    match tricks::is_on(Trick::DirectWrites) {
        true => block.table.write(index, entry),
        false => update(&[MmuUpdate::new(MMU_NORMAL_PT_UPDATE, block.table.entry(index), entry)]),
    }
    note(&mut block.present, index, entry);
    if is_active && was_present {
        operate(&[MmuextOp::with_linear(mmuext::INVLPG_LOCAL, change.address, 0)]);
    }
}

/// Forgets translations: of these addresses, or of all when there are more of them.
fn flush(stale: &[u64; FLUSH_SINGLE], count: usize) {
    let Some(stale) = stale.get(..count) else { return operate(&[flush_all()]) };
    let mut ops = [MmuextOp::default(); FLUSH_SINGLE];
    for (op, address) in ops.iter_mut().zip(stale) {
        *op = MmuextOp::with_linear(mmuext::INVLPG_LOCAL, *address, 0);
    }
    operate(&ops[..count]);
}

/// Lets a block be written, or not.
pub(super) fn set_block_writable(id: SpaceId, address: u64, writable: bool) {
    let is_active = ACTIVE.load(Ordering::Relaxed) == id.0;
    let mut state = STATE.lock();
    let Some(space) = state.spaces.get_mut(id.0).and_then(Option::as_mut) else { return };
    let Some(place) = space.find(address / BLOCK) else { return };
    let block = &mut space.blocks[place];
    if block.writable == writable {
        return;
    }
    block.writable = writable;
    let entry = block.table.mfn.maddr() | if writable { TABLE } else { TABLE & !pte::RW };
    if space.is_live {
        let mut batch = Batch::new();
        batch.set(block.parent, entry);
        batch.carry_out();
        if is_active {
            operate(&[flush_all()]);
        }
        return;
    }
    let index = mmu::index(address, 2);
    let key = address >> 30;
    if let Some(upper) = space.upper.iter().find(|upper| upper.level == 2 && upper.key == key) {
        upper.table.write(index, entry);
    }
}

/// Frames that are tables of spaces in use.
pub(super) fn table_frames() -> usize {
    STATE.lock().tables
}

/// Makes a space the one that `run` uses.
pub(super) fn activate(id: SpaceId) {
    if ACTIVE.swap(id.0, Ordering::Relaxed) == id.0 {
        return;
    }
    let mut state = STATE.lock();
    let state = &mut *state;
    let Some(space) = state.spaces.get_mut(id.0).and_then(Option::as_mut) else { return };
    if !space.is_live {
        space.go_live();
    }
    // A user root alone flushes nothing, and pages of programs may survive the way through the kernel.
    let load = MmuextOp::with_mfn(mmuext::NEW_USER_BASEPTR, space.root.mfn);
    operate(&[load, flush_all()]);
    state.loaded = space.root.mfn;
}

/// Frames of tables that are kept.
pub(crate) fn spare_frames() -> usize {
    let state = STATE.lock();
    state.pool.len() + state.spares.iter().map(Space::tables).sum::<usize>()
}

/// Frees a frame of a table that is kept, or several; false without one.
pub(crate) fn give_up_spare() -> bool {
    let mut state = STATE.lock();
    if state.pool.is_empty() {
        if let Some(space) = state.spares.pop() {
            state.destroy(space);
        }
    }
    let given = state.pool.pop();
    drop(state);
    given.inspect(|table| frames::free(table.pfn, 1)).is_some()
}
