//! Granted frames that are mapped one by one, each at a place of its own.
//!
//! For a back half whose front half uses the same frames again and again: which frame stays where is
//! decided elsewhere, here it happens, many with one hypercall. A place is reached only while something
//! is mapped there.

use alloc::vec::Vec;
use core::ptr::NonNull;
use core::sync::atomic::Ordering;

use hypercall_abi::grant::{
    self as abi, gntmap, gntst, GnttabMapGrantRef, GnttabUnmapGrantRef, GrantHandle,
};
use hypercall_abi::{DomId, Errno, GrantRef, PAGE_SIZE};

use super::check_status;
use super::mapping::{undo, unmap, BATCH, MAPPED};
use crate::hypercall::grant::grant_table_op;
use crate::layout::PAGE;
use crate::shared::SharedMemory;
use crate::window::Range;

/// Places for frames of one other domain; all are unmapped when dropped.
#[derive(Debug)]
pub struct GrantSlots {
    peer: DomId,
    slots: Vec<Option<Mapped>>,
    /// Given back after everything was unmapped; kept for ever when that failed.
    range: Option<Range>,
    start: u64,
}

#[derive(Debug)]
struct Mapped {
    handle: GrantHandle,
    memory: SharedMemory,
}

impl GrantSlots {
    /// Addresses for `count` frames of `peer`, with nothing mapped.
    ///
    /// # Errors
    /// `ENOMEM` without addresses or page tables.
    pub fn new(peer: DomId, count: usize) -> Result<Self, Errno> {
        let mut slots = Vec::new();
        slots.try_reserve_exact(count).map_err(|_| Errno::ENOMEM)?;
        slots.resize_with(count, || None);
        let range = Range::new(count).map_err(|_| Errno::ENOMEM)?;
        let start = range.start();
        Ok(Self { peer, slots, range: Some(range), start })
    }

    /// The page at a place, if one is mapped there.
    #[must_use]
    pub fn page(&self, slot: u16) -> Option<&SharedMemory> {
        self.slots.get(usize::from(slot))?.as_ref().map(|mapped| &mapped.memory)
    }

    /// Maps frames for reading and writing at places where nothing is mapped. Goes on behind one that
    /// is refused; `page` tells which are there.
    ///
    /// # Errors
    /// `EINVAL` for a place that does not exist or is taken, otherwise the first refusal.
    pub fn map(&mut self, wanted: &[(u16, GrantRef)]) -> Result<(), Errno> {
        let is_free = |slot: u16| self.slots.get(usize::from(slot)).is_some_and(Option::is_none);
        if !wanted.iter().all(|(slot, _)| is_free(*slot)) {
            return Err(Errno::EINVAL);
        }
        let mut verdict = Ok(());
        for some in wanted.chunks(BATCH) {
            verdict = verdict.and(self.map_batch(some));
        }
        verdict
    }

    fn map_batch(&mut self, wanted: &[(u16, GrantRef)]) -> Result<(), Errno> {
        let mut ops = [GnttabMapGrantRef::default(); BATCH];
        let ops = &mut ops[..wanted.len()];
        for (op, (slot, gref)) in ops.iter_mut().zip(wanted) {
            op.host_addr = self.address(*slot);
            (op.flags, op.gref, op.dom) = (gntmap::HOST_MAP, *gref, self.peer);
            // Should the hypervisor stop half-way, the rest counts as refused.
            op.status = gntst::GENERAL_ERROR;
        }
        // SAFETY: the addresses are in a range of the window that is ours and nothing is mapped at
        // these places (`map` looked), so no memory in use changes.
        let answer = unsafe { grant_table_op(abi::MAP_GRANT_REF, ops) };
        let mut verdict = answer.map(|_| ());
        for (op, (slot, _)) in ops.iter().zip(wanted) {
            match check_status(op.status) {
                Ok(()) => self.enter(*slot, op.handle),
                Err(errno) => verdict = verdict.and(Err(errno)),
            }
        }
        verdict
    }

    fn enter(&mut self, slot: u16, handle: GrantHandle) {
        let base = core::ptr::with_exposed_provenance_mut(self.address(slot) as usize);
        let Some(base) = NonNull::new(base) else { return };
        // SAFETY: (1) the page was just mapped writable, and `memory` goes before it is unmapped;
        // (2) pages are aligned; (3) addresses of the window are reached through it only.
        let memory = unsafe { SharedMemory::new(base, PAGE_SIZE) };
        self.slots[usize::from(slot)] = Some(Mapped { handle, memory });
        MAPPED.fetch_add(1, Ordering::Relaxed);
    }

    /// Unmaps what is mapped at these places.
    pub fn unmap(&mut self, slots: &[u16]) {
        for some in slots.chunks(BATCH) {
            self.unmap_batch(some);
        }
    }

    fn unmap_batch(&mut self, slots: &[u16]) {
        let mut ops = [GnttabUnmapGrantRef::default(); BATCH];
        let mut count = 0;
        for slot in slots {
            let taken = self.slots.get_mut(usize::from(*slot)).and_then(Option::take);
            let Some(mapped) = taken else { continue };
            ops[count] = undo(self.address(*slot), mapped.handle);
            count += 1;
        }
        MAPPED.fetch_sub(count, Ordering::Relaxed);
        if !unmap(&mut ops[..count]) {
            // The addresses still mean the other domain's frames: nobody may get them again.
            core::mem::forget(self.range.take());
        }
    }

    const fn address(&self, slot: u16) -> u64 {
        self.start + slot as u64 * PAGE
    }
}

impl Drop for GrantSlots {
    fn drop(&mut self) {
        for first in (0..self.slots.len()).step_by(BATCH) {
            let end = (first + BATCH).min(self.slots.len());
            let batch: Vec<u16> = (first..end).map(|slot| slot as u16).collect();
            self.unmap_batch(&batch);
        }
    }
}
