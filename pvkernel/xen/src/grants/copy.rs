//! Copying to and from granted frames by the hypervisor, many pieces with one call.
//!
//! A `CopyQueue` is memory for the lists and is kept; a `CopyBatch` borrows it together with the local
//! memory of everything that was asked for, so nothing can be used for something else before the copy
//! has run. Nothing is allocated once the queue has been as long as it gets.

use alloc::vec::Vec;
use core::marker::PhantomData;

use hypercall_abi::grant::{
    self as abi, gntst, GnttabCopy, GnttabCopyPtr, GNTCOPY_DEST_GREF, GNTCOPY_SOURCE_GREF,
};
use hypercall_abi::{DomId, Errno, GrantRef, Mfn, PAGE_SIZE};

use super::check_status;
use crate::hypercall::grant::grant_table_op;
use crate::shared::SharedMemory;
use crate::{layout, mmu, p2m};

/// Operations in one hypercall: about a hundred microseconds of copying whole pages.
const BATCH: usize = 64;

/// Memory for batches of copies.
#[derive(Debug, Default)]
pub struct CopyQueue {
    ops: Vec<GnttabCopy>,
    /// For each operation the request it is a part of.
    request_of: Vec<u32>,
    verdicts: Vec<Result<(), Errno>>,
}

impl CopyQueue {
    /// An empty queue.
    #[must_use]
    pub const fn new() -> Self {
        Self { ops: Vec::new(), request_of: Vec::new(), verdicts: Vec::new() }
    }

    /// Begins a batch.
    pub fn batch<'a>(&'a mut self) -> CopyBatch<'a> {
        self.ops.clear();
        self.request_of.clear();
        self.verdicts.clear();
        CopyBatch { queue: self, _local: PhantomData }
    }
}

/// A range of a granted frame.
#[derive(Clone, Copy, Debug)]
struct Remote {
    peer: DomId,
    gref: GrantRef,
    offset: usize,
}

/// Copies that run together, in the order in which they were asked for.
pub struct CopyBatch<'a> {
    queue: &'a mut CopyQueue,
    /// Local memory is borrowed until the copies have run.
    _local: PhantomData<&'a mut [u8]>,
}

impl<'a> CopyBatch<'a> {
    /// Copies bytes of ours into a frame that `peer` granted for writing.
    pub fn to_peer(&mut self, local: &'a [u8], peer: DomId, gref: GrantRef, offset: usize) {
        self.push(local.as_ptr() as u64, local.len(), Remote { peer, gref, offset }, true);
    }

    /// Copies bytes of a granted frame into memory of ours.
    pub fn from_peer(&mut self, peer: DomId, gref: GrantRef, offset: usize, local: &'a mut [u8]) {
        self.push(local.as_ptr() as u64, local.len(), Remote { peer, gref, offset }, false);
    }

    /// As `to_peer`, from memory that others may use as well.
    ///
    /// # Panics
    /// Outside of the range, as all methods of shared memory.
    pub fn to_peer_shared(
        &mut self,
        (local, start, len): (&'a SharedMemory, usize, usize),
        peer: DomId,
        gref: GrantRef,
        offset: usize,
    ) {
        local.check(start, len);
        self.push(local.address() + start as u64, len, Remote { peer, gref, offset }, true);
    }

    /// As `from_peer`, into memory that others may use as well.
    ///
    /// # Panics
    /// Outside of the range, as all methods of shared memory.
    pub fn from_peer_shared(
        &mut self,
        peer: DomId,
        gref: GrantRef,
        offset: usize,
        (local, start, len): (&'a SharedMemory, usize, usize),
    ) {
        local.check(start, len);
        self.push(local.address() + start as u64, len, Remote { peer, gref, offset }, false);
    }

    /// Copies from a frame of one domain to a frame of another, each granted to us.
    pub fn between(
        &mut self,
        from: (DomId, GrantRef, usize),
        to: (DomId, GrantRef, usize),
        len: usize,
    ) {
        let whole = |offset: usize| fits(offset, len);
        if !whole(from.2) || !whole(to.2) {
            return self.refuse(Errno::EINVAL);
        }
        let request = self.accept();
        let side = |(peer, gref, offset)| remote_side(Remote { peer, gref, offset }, 0);
        let flags = GNTCOPY_SOURCE_GREF | GNTCOPY_DEST_GREF;
        self.operation(request, side(from), side(to), len, flags);
    }

    /// Requests in the batch.
    #[must_use]
    pub fn len(&self) -> usize {
        self.queue.verdicts.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.queue.verdicts.is_empty()
    }

    /// Copies, and says for each request whether all of it was copied: `EINVAL` for a range that leaves
    /// the granted frame or a grant that does not exist, `ESRCH`, `EPERM`, `EIO`, `EFAULT` for local
    /// memory that is not this domain's.
    pub fn run(self) -> &'a [Result<(), Errno>] {
        let queue = self.queue;
        for (ops, requests) in queue.ops.chunks_mut(BATCH).zip(queue.request_of.chunks(BATCH)) {
            // SAFETY: the local sides are memory of ours that the requests borrowed, exclusively where
            // it is written, until this returns; the hypervisor checks the rest.
            let answer = unsafe { grant_table_op(abi::COPY, ops) };
            for (op, request) in ops.iter().zip(requests) {
                let result = answer.map(|_| ()).and(check_status(op.status));
                let verdict = &mut queue.verdicts[*request as usize];
                *verdict = verdict.and(result);
            }
        }
        &queue.verdicts
    }

    fn refuse(&mut self, errno: Errno) {
        self.queue.verdicts.push(Err(errno));
    }

    fn accept(&mut self) -> u32 {
        self.queue.verdicts.push(Ok(()));
        self.queue.verdicts.len() as u32 - 1
    }

    /// One request: as many operations as pages of ours it touches.
    fn push(&mut self, mut va: u64, len: usize, remote: Remote, to_peer: bool) {
        if !fits(remote.offset, len) {
            return self.refuse(Errno::EINVAL);
        }
        let request = self.accept();
        let mut done = 0;
        while done < len {
            let in_page = va as usize % PAGE_SIZE;
            let step = (PAGE_SIZE - in_page).min(len - done);
            let Some(mfn) = machine_frame(va) else {
                self.queue.verdicts[request as usize] = Err(Errno::EFAULT);
                return;
            };
            let local = GnttabCopyPtr {
                u: mfn.get(),
                domid: DomId::SELF,
                offset: in_page as u16,
                ..Default::default()
            };
            let remote = remote_side(remote, done);
            match to_peer {
                true => self.operation(request, local, remote, step, GNTCOPY_DEST_GREF),
                false => self.operation(request, remote, local, step, GNTCOPY_SOURCE_GREF),
            }
            done += step;
            va += step as u64;
        }
    }

    fn operation(
        &mut self,
        request: u32,
        source: GnttabCopyPtr,
        dest: GnttabCopyPtr,
        len: usize,
        flags: u16,
    ) {
        let status = gntst::GENERAL_ERROR;
        self.queue.ops.push(GnttabCopy {
            source,
            dest,
            len: len as u16,
            flags,
            status,
            ..Default::default()
        });
        self.queue.request_of.push(request);
    }
}

fn fits(offset: usize, len: usize) -> bool {
    offset.checked_add(len).is_some_and(|end| end <= PAGE_SIZE)
}

fn remote_side(remote: Remote, skip: usize) -> GnttabCopyPtr {
    GnttabCopyPtr {
        u: u64::from(remote.gref.get()),
        domid: remote.peer,
        offset: (remote.offset + skip) as u16,
        ..Default::default()
    }
}

/// The frame behind an address of ours: heap and frames by arithmetic, stacks by the page tables.
fn machine_frame(va: u64) -> Option<Mfn> {
    match layout::pfn_of(va) {
        Some(pfn) => p2m::mfn(pfn),
        None => mmu::lookup(va).map(mmu::entry_frame),
    }
}
