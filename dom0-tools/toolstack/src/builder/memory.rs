//! Gives a domain its memory.
//!
//! Step 4 of `build`. Memory comes in extents of 2 MiB where the hypervisor has them and page by
//! page where it does not; the result is one list of machine frames by pseudo-physical frame.

use super::steps::BuildingDomain;
use crate::client::Hypervisor;
use crate::error::ToolError;
use alloc::format;
use alloc::vec::Vec;
use hypercall_abi::{Mfn, Pfn};

const BIG_ORDER: u32 = 9;
const BIG_PAGES: u64 = 1 << BIG_ORDER;
/// Extents of one call: a bound for the buffers, large enough that calls are few.
const BATCH: usize = 512;

impl<H: Hypervisor> BuildingDomain<'_, H> {
    /// Gives the domain `nr_pages` frames from pseudo-physical 0 on.
    pub(super) fn populate(&mut self, nr_pages: u64) -> Result<(), ToolError> {
        self.p2m.reserve_exact(usize::try_from(nr_pages).unwrap_or(0));
        let mut pfn = self.populate_big(nr_pages / BIG_PAGES)?;
        while pfn < nr_pages {
            let pages = (nr_pages - pfn).min(BATCH as u64);
            let mfns = self.extents(0, pfn, pages);
            if mfns.len() as u64 != pages {
                return Err(self.ran_out(nr_pages, mfns.len()));
            }
            self.p2m.extend(mfns);
            pfn += pages;
        }
        Ok(())
    }

    /// Large extents as long as there are any; returns the first frame that has none yet.
    fn populate_big(&mut self, extents: u64) -> Result<u64, ToolError> {
        let mut done = 0;
        while done < extents {
            let wanted = (extents - done).min(BATCH as u64);
            let mfns = self.extents(BIG_ORDER, done * BIG_PAGES, wanted);
            for first in &mfns {
                self.p2m.extend((0..BIG_PAGES).map(|page| Mfn::new(first.get() + page)));
            }
            done += mfns.len() as u64;
            if mfns.len() as u64 != wanted {
                break;
            }
        }
        Ok(done * BIG_PAGES)
    }

    /// Asks for `count` extents of `2^order` frames; the answer may be shorter.
    fn extents(&self, order: u32, first: u64, count: u64) -> Vec<Mfn> {
        let pfns: Vec<Pfn> = (0..count).map(|extent| Pfn::new(first + (extent << order))).collect();
        let mut mfns: Vec<Mfn> = pfns.iter().map(|_| Mfn::INVALID).collect();
        let given = self.hypervisor().populate_physmap(self.domain(), order, &pfns, &mut mfns);
        mfns.truncate(given);
        mfns
    }

    fn ran_out(&self, nr_pages: u64, extra: usize) -> ToolError {
        let given = self.p2m.len() + extra;
        ToolError::failed(format!(
            "XENMEM_populate_physmap (domid={}, nr_extents={nr_pages}) gave only {given} pages of \
             {nr_pages}; lower memory = or destroy a domain",
            self.domain()
        ))
    }
}
