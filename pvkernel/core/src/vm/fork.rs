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
        regions.iter().for_each(|region: &Region| region.each_frame(|frame| counts.share(frame)));
        drop(counts);
        child.regions = regions;
        Ok(child)
    }

    /// Keeps the program from writing to all it has.
    fn protect(&mut self) -> Result<(), OutOfMemory> {
        let mut blocks = self.writable_blocks()?;
        blocks.retain(|(block, _)| !self.frozen.contains(block));
        let many = blocks.iter().filter(|(_, count)| *count >= FREEZE_FROM);
        self.frozen.try_reserve(many.clone().count()).map_err(|_| OutOfMemory)?;
        for (block, _) in many {
            self.pool.user().set_block_writable(self.id, block * BLOCK, false);
            self.frozen.push(*block);
        }
        for (block, count) in blocks.iter().filter(|(_, count)| *count < FREEZE_FROM) {
            let mut pages = Vec::new();
            pages.try_reserve_exact(*count).map_err(|_| OutOfMemory)?;
            self.each_writable(*block, |address, slot| pages.push((address, slot)));
            self.take_write(&pages)?;
        }
        Ok(())
    }

    /// The blocks in which the program can write, and how many pages there.
    fn writable_blocks(&self) -> Result<Vec<(u64, usize)>, OutOfMemory> {
        let mut blocks: Vec<(u64, usize)> = Vec::new();
        for region in &self.regions {
            let mut block = region.start() / BLOCK;
            while region.access.write && block * BLOCK < region.end() {
                let (mut count, from) = (0, block * BLOCK);
                region.each(from, from + BLOCK, |_, slot| count += usize::from(slot.is_writable()));
                match blocks.iter_mut().find(|(other, _)| *other == block) {
                    Some((_, all)) => *all += count,
                    None if count > 0 => {
                        blocks.try_reserve(1).map_err(|_| OutOfMemory)?;
                        blocks.push((block, count));
                    }
                    None => {}
                }
                block += 1;
            }
        }
        Ok(blocks)
    }

    /// Looks at the pages of a block that the tables let the program write.
    fn each_writable(&self, block: u64, mut look: impl FnMut(u64, Slot)) {
        let from = block * BLOCK;
        for region in self.regions.iter().filter(|region| region.access.write) {
            region.each(from, from + BLOCK, |address, slot| {
                if slot.is_writable() {
                    look(address, slot);
                }
            });
        }
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
        let counts = self.pool.counts();
        let is_shared = |slot: Slot| slot.frame().is_some_and(|frame| counts.is_shared(frame));
        let mut count = 0;
        self.each_writable(block, |_, slot| count += usize::from(is_shared(slot)));
        let mut shared = Vec::new();
        if count > 0 {
            shared.try_reserve_exact(count).map_err(|_| OutOfMemory)?;
            self.each_writable(block, |address, slot| {
                if is_shared(slot) {
                    shared.push((address, slot));
                }
            });
        }
        drop(counts);
        self.take_write(&shared)?;
        self.pool.user().set_block_writable(self.id, block * BLOCK, true);
        self.frozen.swap_remove(place);
        Ok(())
    }
}
