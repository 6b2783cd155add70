//! Taking all page tables of a dying domain apart.
//!
//! Called in a loop by the destruction of a domain, under the domain's page-table lock, after its
//! vCPUs have stopped and their roots and descriptor pages have been put. Linear entries cannot
//! keep a domain alive: an entry for its own table holds nothing, and tables named by other linear
//! entries have none, so references never form a cycle and dropping all pins drops everything.
//!
//! Frames that other domains still map stay, dead only when the last mapping goes. Hypervisor
//! content (shared info, grant frames) is left to those who made it.

use hypercall_abi::Mfn;

use super::error::{Progress, Stop};
use super::host::{lookup_ram, PageHost};
use super::refs;
use super::tables::PageTables;
use super::walk::MmuState;

/// How far the teardown has come in the domain's list of frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cursor {
    Start,
    At(Mfn),
    End,
}

impl<H: PageHost> PageTables<'_, H> {
    /// Drops the pins of the owner's frames and the references of their allocation, one by one.
    /// `first` is the head of the owner's list of frames, linked by [`super::FrameInfo::next`];
    /// nobody else adds to or removes from the list until this is done, except that
    /// `frame_released` unlinks frames.
    ///
    /// # Errors
    /// `Preempted` when the budget is used up: call again.
    pub fn relinquish(
        &self,
        mmu: &mut MmuState,
        first: Option<Mfn>,
        budget: &mut u32,
    ) -> Progress<()> {
        self.settle(mmu, budget)?;
        self.release_unclaimed(mmu);
        if mmu.teardown == Cursor::Start {
            mmu.teardown = first.map_or(Cursor::End, Cursor::At);
        }
        while let Cursor::At(mfn) = mmu.teardown {
            self.relinquish_frame(mmu, mfn, budget)?;
            if *budget == 0 && mmu.teardown != Cursor::End {
                return Err(Stop::Preempted);
            }
        }
        self.settle(mmu, budget)
    }

    /// Drops the pin and the allocation of one frame. Frames behind it on the list still have
    /// their allocation, so whatever this releases, the successor stays on the list.
    fn relinquish_frame(&self, mmu: &mut MmuState, mfn: Mfn, budget: &mut u32) -> Progress<()> {
        self.settle(mmu, budget)?;
        *budget = budget.saturating_sub(1);
        let Some(frame) = lookup_ram(self.host, mfn) else {
            mmu.teardown = Cursor::End;
            return Ok(());
        };
        if frame.unpin().is_ok() {
            self.drop_table(mmu, mfn);
            // The table is apart before its allocation goes, so that the walk's frame stays ours.
            return self.settle(mmu, budget);
        }
        mmu.teardown = frame.next().map_or(Cursor::End, Cursor::At);
        // Refused for hypervisor content and for what the guest has given up before.
        let _ = refs::release_allocation(self.host, mfn, self.owner);
        Ok(())
    }
}
