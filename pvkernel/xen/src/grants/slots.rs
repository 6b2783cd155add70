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
    slots: Vec<Option<GrantHandle>>,
    /// Given back after everything was unmapped; kept for ever when that failed.
    range: Option<Range>,
    start: u64,
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

    /// Whether a page is mapped at a place.
    #[must_use]
    pub fn is_mapped(&self, slot: u16) -> bool {
        self.slots.get(usize::from(slot)).is_some_and(Option::is_some)
    }

    /// Copies bytes out of the pages at a place and those behind it, from `offset` in the first on.
    ///
    /// # Errors
    /// `EFAULT` unless all of them are mapped.
    pub fn read(&self, first: u16, offset: usize, to: &mut [u8]) -> Result<(), Errno> {
        self.pages(first, offset, to.len())?.read(offset, to);
        Ok(())
    }

    /// Copies bytes in; otherwise as `read`.
    ///
    /// # Errors
    /// `EFAULT` unless all of them are mapped.
    pub fn write(&self, first: u16, offset: usize, from: &[u8]) -> Result<(), Errno> {
        self.pages(first, offset, from.len())?.write(offset, from);
        Ok(())
    }

    /// The pages that hold `len` bytes from `offset` on. For one copy: the next call that changes
    /// mappings ends them.
    fn pages(&self, first: u16, offset: usize, len: usize) -> Result<SharedMemory, Errno> {
        let end = offset.checked_add(len).ok_or(Errno::EFAULT)?;
        let pages = end.div_ceil(PAGE_SIZE);
        let first_slot = usize::from(first);
        let slots = self.slots.get(first_slot..first_slot.saturating_add(pages));
        if !slots.is_some_and(|slots| slots.iter().all(Option::is_some)) {
            return Err(Errno::EFAULT);
        }
        let base = core::ptr::with_exposed_provenance_mut(self.address(first) as usize);
        let base = NonNull::new(base).ok_or(Errno::EFAULT)?;
        // SAFETY: (1) all of the pages are mapped writable, and the value is used before `self` can
        // be borrowed again to unmap one; (2) pages are aligned; (3) addresses of the window are
        // reached through it only.
        Ok(unsafe { SharedMemory::new(base, pages * PAGE_SIZE) })
    }

    /// Maps frames for reading and writing at places where nothing is mapped. Goes on behind one that
    /// is refused; `is_mapped` tells which are there.
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
        self.slots[usize::from(slot)] = Some(handle);
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
            let Some(handle) = taken else { continue };
            ops[count] = undo(self.address(*slot), handle);
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
