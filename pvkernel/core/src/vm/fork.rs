//! Copy on write: a second space with the same frames.
//!
//! Nothing may be written any more that both have. Where a block has many pages that can be written, the
//! block as a whole is kept from it (it is frozen), and its entries stay as they are: mostly the child
//! calls `exec` or `exit` soon, and then there is nothing to be done but to let the block go again.

use alloc::vec::Vec;

use super::region::{Region, Slot};
use super::space::{Denied, Space};
use crate::platform::{Change, OutOfMemory, UserAccess, BLOCK};

/// Writable pages of a block from which it is frozen as a whole.
const FREEZE_FROM: usize = 4;
/// Frames a child needs at once: tables, the kernel's stack, and the pages it writes first.
const CHILD_FRAMES: usize = 24;

impl Space {
    /// A space with the same contents.
    ///
    /// # Errors
    /// Without memory; nothing has changed then.
    pub fn fork(&mut self) -> Result<Self, OutOfMemory> {
        if !self.pool.has(CHILD_FRAMES) {
            return Err(OutOfMemory);
        }
        let mut regions = Vec::new();
        regions.try_reserve_exact(self.regions.len()).map_err(|_| OutOfMemory)?;
        for region in &self.regions {
            regions.push(region.copy()?);
        }
        let id = self.pool.user().new_space()?;
        let mut child = Self { id, regions: Vec::new(), frozen: Vec::new(), ..*self };
        self.protect()?;
        let mut counts = self.pool.counts();
        let frames = regions.iter().flat_map(Region::held).filter_map(|(_, slot)| slot.frame());
        frames.for_each(|frame| counts.share(frame));
        drop(counts);
        child.regions = regions;
        Ok(child)
    }

    /// Keeps the program from writing to all it has.
    fn protect(&mut self) -> Result<(), OutOfMemory> {
        let mut single = Vec::new();
        let mut blocks: Vec<(u64, usize)> = Vec::new();
        for (address, _) in self.writable() {
            let block = address / BLOCK;
            match blocks.iter_mut().find(|(other, _)| *other == block) {
                Some((_, count)) => *count += 1,
                None => {
                    blocks.try_reserve(1).map_err(|_| OutOfMemory)?;
                    blocks.push((block, 1));
                }
            }
        }
        blocks.retain(|(block, _)| !self.frozen.contains(block));
        let many = blocks.iter().filter(|(_, count)| *count >= FREEZE_FROM);
        self.frozen.try_reserve(many.clone().count()).map_err(|_| OutOfMemory)?;
        for (block, _) in many {
            self.pool.user().set_block_writable(self.id, block * BLOCK, false);
            self.frozen.push(*block);
        }
        for (address, slot) in self.writable().filter(|(address, _)| !self.is_frozen(*address)) {
            single.try_reserve(1).map_err(|_| OutOfMemory)?;
            single.push((address, slot));
        }
        self.take_write(&single)
    }

    fn writable(&self) -> impl Iterator<Item = (u64, Slot)> + '_ {
        self.regions.iter().flat_map(Region::held).filter(|(_, slot)| slot.is_writable())
    }

    /// Takes the right to write from entries.
    fn take_write(&mut self, pages: &[(u64, Slot)]) -> Result<(), OutOfMemory> {
        let mut changes = Vec::new();
        changes.try_reserve_exact(pages.len()).map_err(|_| OutOfMemory)?;
        for (address, slot) in pages {
            let region = self.regions.iter().find(|region| region.contains(*address));
            let (Some(region), Some(frame)) = (region, slot.frame()) else { continue };
            let access = UserAccess { write: false, ..region.access };
            changes.push(Change { address: *address, page: Some((frame, access)) });
        }
        self.pool.user().change(self.id, &changes)?;
        for (address, slot) in pages {
            let region = self.regions.iter_mut().find(|region| region.contains(*address));
            if let (Some(region), Some(frame)) = (region, slot.frame()) {
                region.set_slot(*address, Slot::mapped(frame, false))?;
            }
        }
        Ok(())
    }

    /// Lets a frozen block go: entries of frames that are still shared are kept from writing one by one.
    pub(super) fn thaw(&mut self, page: u64) -> Result<(), Denied> {
        let block = page / BLOCK;
        let Some(place) = self.frozen.iter().position(|frozen| *frozen == block) else {
            return Ok(());
        };
        let mut shared = Vec::new();
        let counts = self.pool.counts();
        for (address, slot) in self.writable() {
            let is_shared = slot.frame().is_some_and(|frame| counts.is_shared(frame));
            if address / BLOCK == block && is_shared {
                shared.try_reserve(1).map_err(|_| OutOfMemory)?;
                shared.push((address, slot));
            }
        }
        drop(counts);
        self.take_write(&shared)?;
        self.pool.user().set_block_writable(self.id, block * BLOCK, true);
        self.frozen.swap_remove(place);
        Ok(())
    }
}
