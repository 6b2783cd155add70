//! A small machine for tests: memory, frame table, two kinds of domains, and a watchful TLB.
//!
//! Used by the tests of this crate and, with the feature `testkit`, by those of others. Domain 0 is
//! privileged (it may map frames of others, device memory, and choose cache attributes); all other
//! domains are plain.
//!
//! The machine notices what real hardware would punish, and keeps it in [`FrameWorld::violations`]:
//! an entry stored in a leaf table that maps a table writable, a table or writable frame for which a CPU
//! may still have a translation of the other kind cached, a frame released twice.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};

use hypercall_abi::mmu::pte;
use hypercall_abi::{DomId, Mfn};

use super::{
    Entry, FrameInfo, Level, PageError, PageHost, PageList, PageType, PageTypeInfo, State, ENTRIES,
};

/// Domains a world has.
pub const DOMAINS: usize = 3;
/// Device frames behind the end of the frame table.
pub const MMIO_FRAMES: u64 = 8;

/// Whose frames a CPU may have cached a translation of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Cached {
    /// As the target of a leaf entry.
    mapped: bool,
    /// As the target of a writable leaf entry.
    writable: bool,
    /// As a table on the way.
    table: bool,
}

/// A machine with a few dozen frames.
pub struct FrameWorld {
    frames: Vec<FrameInfo>,
    words: Vec<Cell<u64>>,
    lists: RefCell<Vec<PageList>>,
    cached: RefCell<Vec<Cached>>,
    clock: Cell<u32>,
    last_flush: Cell<u32>,
    flushes: Cell<u32>,
    released: RefCell<Vec<(Mfn, DomId)>>,
    violations: RefCell<Vec<String>>,
    writes: Cell<u64>,
    race: Cell<Option<(Mfn, usize, u64)>>,
}

impl FrameWorld {
    /// A machine with `frames` dead frames of zeroed memory.
    #[must_use]
    pub fn new(frames: usize) -> Self {
        Self {
            frames: (0..frames).map(|_| FrameInfo::default()).collect(),
            words: (0..frames * ENTRIES).map(|_| Cell::new(0)).collect(),
            lists: RefCell::new(alloc::vec![PageList::default(); DOMAINS]),
            cached: RefCell::new(alloc::vec![Cached::default(); frames]),
            clock: Cell::new(2),
            last_flush: Cell::new(1),
            flushes: Cell::new(0),
            released: RefCell::new(Vec::new()),
            violations: RefCell::new(Vec::new()),
            writes: Cell::new(0),
            race: Cell::new(None),
        }
    }

    /// Gives dead frames to a domain.
    ///
    /// # Panics
    /// When one of them is not dead.
    pub fn give(&self, owner: DomId, frames: core::ops::Range<u64>) {
        for number in frames {
            let mfn = Mfn::new(number);
            if self.cached.borrow()[number as usize].mapped {
                self.punish(format!("frame {number} is given away and still reachable"));
            }
            self.assign(mfn, owner, State::ALLOCATED).expect("dead");
            self.link(owner, mfn);
        }
    }

    /// Gives a dead frame to a domain without putting it on its list.
    ///
    /// # Errors
    /// The frame is not dead.
    pub fn assign(&self, mfn: Mfn, owner: DomId, first: State) -> Result<(), PageError> {
        PageHost::frame(self, mfn)?.bring_alive(owner, first)
    }

    /// Puts a frame on the list of a domain.
    pub fn link(&self, owner: DomId, mfn: Mfn) {
        self.lists.borrow_mut()[usize::from(owner.get())].push_back(&self.frames, mfn);
    }

    /// Takes a frame off the list of a domain.
    pub fn unlink(&self, owner: DomId, mfn: Mfn) {
        self.lists.borrow_mut()[usize::from(owner.get())].remove(&self.frames, mfn);
    }

    /// First frame of a domain's list.
    #[must_use]
    pub fn first_frame(&self, owner: DomId) -> Option<Mfn> {
        self.lists.borrow()[usize::from(owner.get())].head()
    }

    /// The accounting of a frame.
    ///
    /// # Panics
    /// When there is no such frame.
    #[must_use]
    pub fn frame(&self, mfn: Mfn) -> &FrameInfo {
        &self.frames[mfn.get() as usize]
    }

    /// The state of a frame.
    #[must_use]
    pub fn state(&self, mfn: Mfn) -> State {
        self.frame(mfn).state()
    }

    fn word(&self, mfn: Mfn, index: usize) -> &Cell<u64> {
        &self.words[mfn.get() as usize * ENTRIES + index]
    }

    /// Reads memory as a debugger would.
    #[must_use]
    pub fn peek(&self, mfn: Mfn, index: usize) -> u64 {
        self.word(mfn, index).get()
    }

    /// Writes memory as a debugger would: nothing is noticed.
    pub fn poke(&self, mfn: Mfn, index: usize, value: u64) {
        self.word(mfn, index).set(value);
    }

    /// All of memory, for comparison.
    #[must_use]
    pub fn memory(&self) -> Vec<u64> {
        self.words.iter().map(Cell::get).collect()
    }

    /// At the next compare-exchange, the CPU changes that entry just before.
    pub fn race_next_exchange(&self, table: Mfn, index: usize, value: u64) {
        self.race.set(Some((table, index, value)));
    }

    /// Frames released so far, in order.
    #[must_use]
    pub fn released(&self) -> Vec<(Mfn, DomId)> {
        self.released.borrow().clone()
    }

    /// What hardware would have punished.
    #[must_use]
    pub fn violations(&self) -> Vec<String> {
        self.violations.borrow().clone()
    }

    /// Flushes made because a type changed.
    #[must_use]
    pub fn flush_count(&self) -> u32 {
        self.flushes.get()
    }

    /// Entries stored so far.
    #[must_use]
    pub fn write_count(&self) -> u64 {
        self.writes.get()
    }

    /// All CPUs forget all translations.
    pub fn flush_all(&self) {
        self.clock.set(self.clock.get() + 1);
        self.last_flush.set(self.clock.get());
        self.cached.borrow_mut().fill(Cached::default());
    }

    fn punish(&self, what: String) {
        self.violations.borrow_mut().push(what);
    }

    fn is_used_as_table(&self, mfn: Mfn) -> bool {
        self.frames.get(mfn.get() as usize).is_some_and(|frame| {
            let state = frame.state();
            let page_type = state.page_type();
            state.type_count() > 0
                && (page_type.level().is_some() || page_type == PageType::SegDesc)
        })
    }

    /// Lets the CPUs cache every translation the tables allow now, and compares what is cached
    /// with what the frames are used as. To be called between operations.
    pub fn watch(&self) {
        let mut cached = self.cached.borrow_mut();
        for number in 0..self.frames.len() {
            let mfn = Mfn::new(number as u64);
            let state = self.state(mfn);
            if let (true, Some(level)) = (state.is_validated(), state.page_type().level()) {
                cached[number].table = true;
                if level == Level::L1 {
                    self.cache_leaves(mfn, &mut cached);
                }
            }
        }
        for (number, cached) in cached.iter().enumerate() {
            let mfn = Mfn::new(number as u64);
            let state = self.state(mfn);
            if self.is_used_as_table(mfn) && cached.writable {
                self.punish(format!("table {number} is reachable by a cached writable mapping"));
            }
            let is_writable = state.page_type() == PageType::Writable && state.type_count() > 0;
            if is_writable && cached.table {
                self.punish(format!("writable frame {number} is a cached table"));
            }
        }
    }

    fn cache_leaves(&self, table: Mfn, cached: &mut [Cached]) {
        let start = table.get() as usize * ENTRIES;
        for word in &self.words[start..start + ENTRIES] {
            let entry = Entry::new(word.get());
            if !entry.is_present() {
                continue;
            }
            if let Some(target) = cached.get_mut(entry.mfn().get() as usize) {
                target.mapped = true;
                target.writable |= entry.is_writable();
            }
        }
    }

    fn note_store(&self, table: Mfn, index: usize, value: u64) {
        self.writes.set(self.writes.get() + 1);
        let entry = Entry::new(value);
        let state = self.state(table);
        let is_leaf = state.page_type() == PageType::L1 && state.type_count() > 0;
        if is_leaf
            && entry.is_present()
            && entry.is_writable()
            && self.is_used_as_table(entry.mfn())
        {
            self.punish(format!("entry {index} of leaf table {table} maps a table writable"));
        }
        self.word(table, index).set(value);
    }

    /// One line for each frame that is in use, for assertion messages.
    #[must_use]
    pub fn describe(&self) -> String {
        let mut text = String::new();
        for (number, frame) in self.frames.iter().enumerate() {
            if frame.state().is_live() {
                let line = format!("{number} of {}: {:?}\n", frame.owner(), frame.state());
                text.push_str(&line);
            }
        }
        text
    }

    /// The type of a frame, as [`super::page_type_info`] gives it.
    #[must_use]
    pub fn type_info(&self, mfn: Mfn) -> Option<PageTypeInfo> {
        super::page_type_info(self, mfn)
    }
}

impl PageHost for FrameWorld {
    type Page = Mfn;

    fn frames(&self) -> &[FrameInfo] {
        &self.frames
    }

    fn page(&self, table: Mfn) -> Mfn {
        table
    }

    fn load(&self, table: Mfn, index: usize) -> u64 {
        self.peek(table, index)
    }

    fn load_upper(&self, table: Mfn, index: usize) -> u64 {
        self.peek(table, index)
    }

    fn store(&self, table: Mfn, index: usize, value: u64) {
        self.note_store(table, index, value);
    }

    fn exchange(&self, table: Mfn, index: usize, old: u64, new: u64) -> Result<(), u64> {
        if let Some((table, index, value)) = self.race.take() {
            self.poke(table, index, value);
        }
        let now = self.peek(table, index);
        if now != old {
            return Err(now);
        }
        self.note_store(table, index, new);
        Ok(())
    }

    fn stamp_now(&self) -> u32 {
        self.clock.get()
    }

    fn flush_before_retype(&self, _owner: DomId, stamp: u32) {
        if stamp >= self.last_flush.get() {
            self.flushes.set(self.flushes.get() + 1);
            self.flush_all();
        }
    }

    fn write_back_frame(&self, _mfn: Mfn) {}

    fn hv_slot(&self, slot: usize, table: Mfn) -> u64 {
        // Something that would do harm if it were ever taken for an entry of the guest.
        let frame = (slot as u64 + table.get()) % self.frames.len() as u64;
        pte::make(Mfn::new(frame), pte::PRESENT | pte::RW | pte::USER)
    }

    fn may_map_mmio(&self, dom: DomId, mfn: Mfn) -> bool {
        let end = self.frames.len() as u64 + MMIO_FRAMES;
        dom == DomId::DOM0 && mfn.get() < end
    }

    fn has_device_rights(&self, dom: DomId) -> bool {
        dom == DomId::DOM0
    }

    fn may_map_foreign(&self, privileged: DomId, _owner: DomId) -> bool {
        privileged == DomId::DOM0
    }

    fn frame_released(&self, mfn: Mfn, owner: DomId) {
        if self.state(mfn) != State::DEAD {
            self.punish(format!("frame {mfn} is released alive"));
        }
        if !self.lists.borrow()[usize::from(owner.get())].iter(&self.frames).any(|on| on == mfn) {
            self.punish(format!("frame {mfn} is released and not on the list of {owner}"));
            return;
        }
        self.unlink(owner, mfn);
        self.released.borrow_mut().push((mfn, owner));
        // What the allocator does before a frame is used again.
        if self.frame(mfn).stamp() >= self.last_flush.get() {
            self.flush_all();
        }
    }

    fn nx_supported(&self) -> bool {
        true
    }
}
