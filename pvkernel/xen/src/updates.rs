//! Entries for consecutive pages, many with one hypercall, also for frames of others.

use hypercall_abi::mmu::{MmuUpdate, MMU_NORMAL_PT_UPDATE};
use hypercall_abi::{DomId, Errno, Mfn};

use crate::hypercall::mmu::mmu_update;
use crate::layout::PAGE;
use crate::mmu::{entry_maddr, index, level1_of};

/// Updates per hypercall.
const BATCH: usize = 128;

/// Writes entries for consecutive pages whose tables exist; `dom` owns the frames. Returns how many were
/// written; with an error, how many were written before it.
///
/// # Safety
/// The new mappings keep what this program relies on.
///
/// # Errors
/// The hypervisor's refusal; `EINVAL` where there is no table.
pub(crate) unsafe fn write(
    start: u64,
    entries: &mut dyn Iterator<Item = u64>,
    dom: DomId,
) -> Result<usize, (Errno, usize)> {
    let mut batch = [MmuUpdate::default(); BATCH];
    let mut written = 0;
    let mut table = Mfn::INVALID;
    loop {
        let mut len = 0;
        while len < BATCH {
            let va = start + (written + len) as u64 * PAGE;
            if table == Mfn::INVALID || index(va, 1) == 0 {
                table = Mfn::INVALID;
                let Some(found) = level1_of(va) else { break };
                table = found;
            }
            let Some(entry) = entries.next() else { break };
            batch[len] =
                MmuUpdate::new(MMU_NORMAL_PT_UPDATE, entry_maddr(table, index(va, 1)), entry);
            len += 1;
        }
        if len > 0 {
            // SAFETY: passed on to the caller.
            let result = unsafe { mmu_update(&batch[..len], dom) };
            result.map_err(|(errno, count)| (errno, written + count))?;
            written += len;
        }
        if len < BATCH {
            let unmapped = table == Mfn::INVALID && entries.next().is_some();
            return if unmapped { Err((Errno::EINVAL, written)) } else { Ok(written) };
        }
    }
}
