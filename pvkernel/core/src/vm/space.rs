//! The address space of one process.

use alloc::vec::Vec;

use super::pool::Pool;
use super::region::{Growth, Region, Slot};
use super::{HEAP_LIMIT, PAGE, STACK_BYTES, STACK_TOP};
use crate::platform::{Change, OutOfMemory, SpaceId, UserAccess, BLOCK};
use pvkernel_abi::Errno;

/// Pages that are entered into the tables together with the one that was touched.
const AROUND: usize = 16;

/// What is done to a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Want {
    /// It is read.
    Read,
    /// It is written.
    Write,
    /// It is run.
    Execute,
}

/// Why a page cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Denied {
    /// Nothing is there, or not for that.
    Address,
    /// There is no memory.
    Memory,
}

impl From<OutOfMemory> for Denied {
    fn from(_: OutOfMemory) -> Self {
        Self::Memory
    }
}

impl From<Denied> for Errno {
    fn from(denied: Denied) -> Self {
        match denied {
            Denied::Address => Self::EFAULT,
            Denied::Memory => Self::ENOMEM,
        }
    }
}

/// Regions, frames, and the machine's tables that show them.
pub struct Space {
    pub(super) id: SpaceId,
    pub(super) pool: &'static Pool,
    pub(super) regions: Vec<Region>,
    /// The heap's place among the regions, and the end the program asked for.
    pub(super) heap: Option<(usize, u64)>,
    /// Blocks that are kept from being written: their numbers.
    pub(super) frozen: Vec<u64>,
}

impl Space {
    /// A space with a stack.
    ///
    /// # Errors
    /// Without memory for its tables.
    pub fn new(pool: &'static Pool) -> Result<Self, OutOfMemory> {
        let access = UserAccess { write: true, execute: false };
        let stack = Region::new(STACK_TOP - STACK_BYTES, STACK_TOP, access, Growth::Down);
        let mut regions = Vec::new();
        regions.try_reserve(6).map_err(|_| OutOfMemory)?;
        regions.push(stack);
        let id = pool.user().new_space()?;
        Ok(Self { id, pool, regions, heap: None, frozen: Vec::new() })
    }

    /// The machine's name for it.
    #[must_use]
    pub const fn id(&self) -> SpaceId {
        self.id
    }

    /// Frames it uses.
    #[must_use]
    pub fn pages(&self) -> usize {
        self.regions.iter().map(|region| region.held().count()).sum()
    }

    /// Adds a region below the heap's limit.
    ///
    /// # Errors
    /// `ENOEXEC` if it is empty, is no place for programs or overlaps another; `ENOMEM`.
    pub fn add(&mut self, start: u64, end: u64, access: UserAccess) -> Result<(), Errno> {
        let is_aligned = start.is_multiple_of(PAGE) && end.is_multiple_of(PAGE);
        let is_inside = start >= pvkernel_abi::USER_START && start < end && end <= HEAP_LIMIT;
        let overlaps = |other: &Region| start < other.end() && other.start() < end;
        if !is_aligned || !is_inside || self.regions.iter().any(overlaps) {
            return Err(Errno::ENOEXEC);
        }
        self.regions.try_reserve(1).map_err(|_| Errno::ENOMEM)?;
        self.regions.push(Region::new(start, end, access, Growth::Up));
        Ok(())
    }

    /// Begins the heap, empty, behind all regions that were added.
    ///
    /// # Errors
    /// `ENOMEM`.
    pub fn add_heap(&mut self) -> Result<(), Errno> {
        let below = self.regions.iter().map(Region::end).filter(|end| *end <= HEAP_LIMIT);
        let start = below.max().unwrap_or(PAGE);
        self.regions.try_reserve(1).map_err(|_| Errno::ENOMEM)?;
        self.heap = Some((self.regions.len(), start));
        let access = UserAccess { write: true, execute: false };
        self.regions.push(Region::new(start, start, access, Growth::Up));
        Ok(())
    }

    /// Moves the end of the heap; the end before.
    ///
    /// # Errors
    /// `ENOMEM` when the heap may not or cannot be that large, `EINVAL` below its start.
    pub fn sbrk(&mut self, change: i64) -> Result<u64, Errno> {
        let (index, old) = self.heap.ok_or(Errno::ENOMEM)?;
        let region = self.regions.get(index).ok_or(Errno::ENOMEM)?;
        let new = old.checked_add_signed(change).ok_or(Errno::EINVAL)?;
        if new < region.start() {
            return Err(Errno::EINVAL);
        }
        if new > HEAP_LIMIT {
            return Err(Errno::ENOMEM);
        }
        let (mapped_end, end) = (region.end(), new.next_multiple_of(PAGE));
        if end > mapped_end && !self.pool.has(((end - mapped_end) / PAGE) as usize) {
            return Err(Errno::ENOMEM);
        }
        if end < mapped_end {
            self.forget(index, end)?;
        }
        if let Some(region) = self.regions.get_mut(index) {
            region.set_end(end);
        }
        self.heap = Some((index, new));
        Ok(old)
    }

    /// Gives up the frames of a region from an address on.
    fn forget(&mut self, index: usize, from: u64) -> Result<(), Errno> {
        let Some(region) = self.regions.get_mut(index) else { return Ok(()) };
        let all = || region.held().filter(move |(address, _)| *address >= from);
        let mut changes = Vec::new();
        let mut frames = Vec::new();
        let count = all().count();
        changes.try_reserve_exact(count).map_err(|_| Errno::ENOMEM)?;
        frames.try_reserve_exact(count).map_err(|_| Errno::ENOMEM)?;
        frames.extend(all().filter_map(|(_, slot)| slot.frame()));
        let mapped = all().filter(|(_, slot)| slot.is_mapped());
        changes.extend(mapped.map(|(address, _)| Change { address, page: None }));
        self.pool.user().change(self.id, &changes).map_err(|_| Errno::ENOMEM)?;
        for (address, slot) in region.held_mut() {
            if address >= from {
                *slot = Slot::EMPTY;
            }
        }
        self.pool.release(frames.into_iter());
        Ok(())
    }

    /// The region at an address, for a use that it permits.
    pub(super) fn region_for(&self, address: u64, want: Want) -> Result<usize, Denied> {
        let found = self.regions.iter().position(|region| region.contains(address));
        let index = found.ok_or(Denied::Address)?;
        let access = self.regions[index].access;
        let permitted = match want {
            Want::Read => true,
            Want::Write => access.write,
            Want::Execute => access.execute,
        };
        permitted.then_some(index).ok_or(Denied::Address)
    }

    /// Makes a page usable that the program touched.
    ///
    /// # Errors
    /// It is not there for that, or there is no memory; nothing has changed then.
    pub fn fault(&mut self, address: u64, want: Want) -> Result<(), Denied> {
        let index = self.region_for(address, want)?;
        let page = address & !(PAGE - 1);
        if want == Want::Write {
            self.thaw(page)?;
        }
        let slot = self.regions[index].slot(page);
        match slot.frame() {
            None => {
                let frame = self.fresh(index, page)?;
                self.enter(index, page, frame)
            }
            Some(_) if want == Want::Write && slot.is_writable() => Ok(()),
            Some(frame) if want == Want::Write => {
                let own = self.own(index, page, frame)?;
                self.enter(index, page, own)
            }
            Some(_) if slot.is_mapped() => Ok(()),
            Some(_) => self.enter_around(index, page),
        }
    }

    /// A frame of zeros for an empty page.
    pub(super) fn fresh(&mut self, index: usize, page: u64) -> Result<usize, Denied> {
        let frame = self.pool.alloc().ok_or(Denied::Memory)?;
        self.pool.user().clear(frame);
        if let Err(error) = self.regions[index].set_slot(page, Slot::held(frame)) {
            self.pool.release(core::iter::once(frame));
            return Err(error.into());
        }
        Ok(frame)
    }

    /// A frame with the contents of this one that nobody else uses: itself, or a copy.
    pub(super) fn own(&mut self, index: usize, page: u64, frame: usize) -> Result<usize, Denied> {
        if self.pool.users(frame) == 1 {
            return Ok(frame);
        }
        let copy = self.pool.alloc().ok_or(Denied::Memory)?;
        self.pool.user().copy(frame, copy);
        let was_mapped = self.regions[index].slot(page).is_mapped();
        let changed = match was_mapped {
            true => self.show(index, page, copy, self.regions[index].access.write),
            false => self.regions[index].set_slot(page, Slot::held(copy)),
        };
        if let Err(error) = changed {
            self.pool.release(core::iter::once(copy));
            return Err(error.into());
        }
        self.pool.release(core::iter::once(frame));
        Ok(copy)
    }

    /// Puts all pages that have frames into the tables: of a program that was loaded.
    ///
    /// # Errors
    /// Without memory for tables.
    pub fn enter_all(&mut self) -> Result<(), OutOfMemory> {
        let mut changes = Vec::new();
        for region in &self.regions {
            for (address, slot) in region.held().filter(|(_, slot)| !slot.is_mapped()) {
                let page = slot.frame().map(|frame| (frame, region.access));
                changes.try_reserve(1).map_err(|_| OutOfMemory)?;
                changes.push(Change { address, page });
            }
        }
        self.pool.user().change(self.id, &changes)?;
        for region in &mut self.regions {
            let write = region.access.write;
            for (_, slot) in region.held_mut() {
                *slot = slot.frame().map_or(Slot::EMPTY, |frame| Slot::mapped(frame, write));
            }
        }
        Ok(())
    }

    /// Puts a page of one's own into the tables, writable if the region is.
    fn enter(&mut self, index: usize, page: u64, frame: usize) -> Result<(), Denied> {
        let write = self.regions[index].access.write && !self.is_frozen(page);
        let slot = self.regions[index].slot(page);
        if slot == Slot::mapped(frame, write) {
            return Ok(());
        }
        self.show(index, page, frame, write).map_err(Denied::from)
    }

    /// Changes one entry and its slot.
    fn show(
        &mut self,
        index: usize,
        page: u64,
        frame: usize,
        write: bool,
    ) -> Result<(), OutOfMemory> {
        let region = &mut self.regions[index];
        let access = UserAccess { write, ..region.access };
        let change = Change { address: page, page: Some((frame, access)) };
        self.pool.user().change(self.id, &[change])?;
        region.set_slot(page, Slot::mapped(frame, write))
    }

    /// Puts a page and those around it that have frames into the tables.
    fn enter_around(&mut self, index: usize, page: u64) -> Result<(), Denied> {
        let region = &self.regions[index];
        let first = (page & !(AROUND as u64 * PAGE - 1)).max(region.start());
        let last = (page | (AROUND as u64 * PAGE - 1)).min(region.end() - 1);
        let is_frozen = self.is_frozen(page);
        let mut changes = [Change { address: 0, page: None }; AROUND];
        let mut count = 0;
        let counts = self.pool.counts();
        for address in (first..=last).step_by(PAGE as usize) {
            let slot = region.slot(address);
            let Some(frame) = slot.frame().filter(|_| !slot.is_mapped()) else { continue };
            let write = region.access.write && !is_frozen && !counts.is_shared(frame);
            let access = UserAccess { write, ..region.access };
            if let Some(change) = changes.get_mut(count) {
                *change = Change { address, page: Some((frame, access)) };
                count += 1;
            }
        }
        drop(counts);
        self.pool.user().change(self.id, &changes[..count])?;
        for change in &changes[..count] {
            if let Some((frame, access)) = change.page {
                let slot = Slot::mapped(frame, access.write);
                self.regions[index].set_slot(change.address, slot)?;
            }
        }
        Ok(())
    }

    pub(super) fn is_frozen(&self, page: u64) -> bool {
        self.frozen.contains(&(page / BLOCK))
    }
}

impl Drop for Space {
    fn drop(&mut self) {
        self.pool.user().free_space(self.id);
        let mut counts = self.pool.counts();
        self.regions.iter().for_each(|region| region.each_frame(|frame| counts.release(frame)));
    }
}
