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
use super::host::PageHost;
use super::refs;
use super::state::State;
use super::tables::PageTables;
use super::types::PageType;
use super::walk::MmuState;

/// How far the teardown has come in the domain's list of frames.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Cursor {
    #[default]
    Start,
    /// At this frame, which is kept on the list by a general reference of the cursor.
    At(Mfn),
    End,
}

impl<H: PageHost> PageTables<'_, H> {
    /// Drops the pins of the owner's frames and the references of their allocation, one by one.
    /// `first` reads the head of the owner's list of frames (asked only when the walk over the list
    /// starts, because finishing earlier work may release frames), which is linked
    /// through the frame table; nobody adds to the list any more, and only `frame_released`
    /// unlinks frames from it.
    ///
    /// # Errors
    /// `Preempted` when the budget is used up, or when another CPU is releasing the very frame
    /// that comes next: call again.
    pub fn relinquish(
        &self,
        mmu: &mut MmuState,
        first: impl FnOnce() -> Option<Mfn>,
        budget: &mut u32,
    ) -> Progress<()> {
        self.settle(mmu, budget)?;
        self.release_unclaimed(mmu);
        if mmu.teardown == Cursor::Start {
            mmu.teardown = self.cursor_at(first())?;
        }
        while let Cursor::At(mfn) = mmu.teardown {
            *budget = budget.saturating_sub(1);
            self.relinquish_frame(mmu, mfn, budget)?;
            if *budget == 0 && mmu.teardown != Cursor::End {
                return Err(Stop::Preempted);
            }
        }
        self.settle(mmu, budget)
    }

    /// Drops the pin and the allocation of one frame and moves on. May be repeated for the same
    /// frame: what has been dropped is not dropped again.
    fn relinquish_frame(&self, mmu: &mut MmuState, mfn: Mfn, budget: &mut u32) -> Progress<()> {
        let Ok(frame) = self.host.frame(mfn) else {
            mmu.teardown = Cursor::End;
            return Ok(());
        };
        // The cursor's reference keeps the frame alive, and the owner's. Refused for hypervisor
        // content and for what the guest has given up before.
        let _ = frame.try_change(State::drop_allocation);
        if frame.try_change(State::unpin).is_ok() {
            mmu.push(self.release_table(mfn));
        }
        self.settle(mmu, budget)?;
        mmu.teardown = self.cursor_at(frame.next())?;
        refs::release(self.host, mfn, PageType::None);
        Ok(())
    }

    fn cursor_at(&self, next: Option<Mfn>) -> Progress<Cursor> {
        let Some(mfn) = next else { return Ok(Cursor::End) };
        let Ok(frame) = self.host.frame(mfn) else { return Ok(Cursor::End) };
        // Dead and still on the list: another CPU is about to unlink it.
        frame.try_change(State::take_ref).map_err(|_| Stop::Preempted)?;
        Ok(Cursor::At(mfn))
    }
}
