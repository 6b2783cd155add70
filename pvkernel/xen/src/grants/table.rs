//! This domain's grant table.
//!
//! An entry is written by us and marked by the hypervisor while somebody uses it. Granting and ending
//! are stores into shared memory, without hypercall; only growing the table asks the hypervisor. Which
//! entries are free stands in `RefPool`, not in the table.

use alloc::vec;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU16, Ordering};

use hypercall_abi::grant::{gtf, NR_RESERVED_ENTRIES, V1_ENTRIES_PER_PAGE};
use hypercall_abi::{DomId, Errno, GrantRef, Mfn, Pfn};
use pvkernel_core::refs::RefPool;
use pvkernel_core::sync::{Lock, LockGuard};

use super::check_status;
use crate::foreign::Mapping;
use crate::hypercall::grant as hypercall;
use crate::p2m;

const PER_FRAME: usize = V1_ENTRIES_PER_PAGE as usize;
/// Bytes of an entry: flags and domain in the low half, the frame in the high half.
const ENTRY: usize = 8;
/// The hypervisor changes an entry at most a few times while we look at it.
const END_TRIES: u32 = 16;

/// The other domain uses the frame: its grant goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StillInUse;

struct Table {
    /// Frames of the table, mapped one by one as it grows.
    frames: Vec<Mapping>,
    refs: RefPool,
}

static TABLE: Lock<Table> =
    Lock::new(Table { frames: Vec::new(), refs: RefPool::new(NR_RESERVED_ENTRIES as usize) });

fn table() -> LockGuard<'static, Table> {
    TABLE.lock()
}

impl Table {
    /// Grows until `free` entries are free.
    fn reserve(&mut self, free: usize) -> Result<(), Errno> {
        if self.refs.free() >= free {
            return Ok(());
        }
        let known = self.frames.len();
        let reserved = if known == 0 { NR_RESERVED_ENTRIES as usize } else { 0 };
        let wanted = known + (free - self.refs.free() + reserved).div_ceil(PER_FRAME);
        let size = hypercall::query_size(DomId::SELF)?;
        check_status(size.status)?;
        if wanted > size.max_nr_frames as usize {
            return Err(Errno::ENOSPC);
        }
        let mut mfns = vec![0; wanted];
        check_status(hypercall::setup_table(DomId::SELF, &mut mfns)?)?;
        self.frames.try_reserve(wanted - known).map_err(|_| Errno::ENOMEM)?;
        for mfn in &mfns[known..] {
            self.frames.push(Mapping::new(DomId::SELF, &[Mfn::new(*mfn)], true)?);
            let entries = self.frames.len() * PER_FRAME;
            self.refs.grow(entries).map_err(|_| Errno::ENOMEM)?;
        }
        Ok(())
    }

    fn entry(&self, gref: u32) -> Option<(&Mapping, usize)> {
        let index = gref as usize;
        Some((self.frames.get(index / PER_FRAME)?, index % PER_FRAME * ENTRY))
    }

    fn publish(&self, gref: u32, flags: u16, peer: DomId, frame: u32) {
        let Some((page, at)) = self.entry(gref) else { return };
        page.memory().u32_at(at + 4).store(frame, Ordering::Relaxed);
        // The hypervisor believes an entry from its flags on, so they come last; it reads them
        // together with the domain.
        let head = u32::from(flags) | u32::from(peer.get()) << 16;
        page.memory().u32_at(at).store(head, Ordering::Release);
    }

    fn end(&mut self, gref: u32) -> Result<(), StillInUse> {
        let Some((page, at)) = self.entry(gref) else { return Ok(()) };
        clear(page.memory().u16_at(at))?;
        assert!(self.refs.release(gref), "grant {gref} was ended twice");
        Ok(())
    }
}

/// Ends access unless somebody uses the frame at this moment.
fn clear(flags: &AtomicU16) -> Result<(), StillInUse> {
    for _ in 0..END_TRIES {
        let seen = flags.load(Ordering::Relaxed);
        if seen & (gtf::READING | gtf::WRITING) != 0 {
            return Err(StillInUse);
        }
        // SeqCst: what the other domain did with the frame is seen by whoever uses it next.
        if flags.compare_exchange(seen, 0, Ordering::SeqCst, Ordering::Relaxed).is_ok() {
            return Ok(());
        }
    }
    Err(StillInUse)
}

/// Makes sure that `count` grants can be made without asking the hypervisor.
///
/// # Errors
/// `ENOSPC` beyond the limit of this domain, `ENOMEM`, or what the hypervisor says.
pub fn reserve(count: usize) -> Result<(), Errno> {
    table().reserve(count)
}

/// Lets `peer` map and copy a frame of ours until `end`. What lies in the frame is then the peer's to
/// read, and with `writable` to change at any time.
///
/// # Errors
/// `EINVAL` for a frame that is not ours or too high for the table, otherwise as [`reserve`].
pub fn grant(peer: DomId, pfn: Pfn, writable: bool) -> Result<GrantRef, Errno> {
    let mfn = p2m::mfn(pfn).ok_or(Errno::EINVAL)?;
    let frame = u32::try_from(mfn.get()).map_err(|_| Errno::EINVAL)?;
    let flags = gtf::PERMIT_ACCESS | if writable { 0 } else { gtf::READONLY };
    let mut table = table();
    table.reserve(1)?;
    let gref = table.refs.take().ok_or(Errno::ENOSPC)?;
    table.publish(gref, flags, peer, frame);
    Ok(GrantRef::new(gref))
}

/// Ends a grant that [`grant`] made; the frame is its owner's alone again.
///
/// # Errors
/// While the peer has the frame mapped or is copying: the grant goes on and the frame must not be used
/// for anything else. `end_or_defer` takes care of such a frame.
///
/// # Panics
/// If the grant was ended before: two owners believed to have it.
pub fn end(gref: GrantRef) -> Result<(), StillInUse> {
    table().end(gref.get())
}

/// Grants that have not ended.
#[must_use]
pub fn used() -> usize {
    table().refs.used()
}
