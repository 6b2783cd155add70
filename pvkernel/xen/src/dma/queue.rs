//! A virtqueue that owns what its device works on.
//!
//! Around the queue of `virtio-drivers`, whose two methods that add and take are unsafe because
//! somebody must keep the memory in between: that is here. A request is kept in one of 64 slots, each
//! with a cell of memory for its head and tail, until the device has used it.
//!
//! Invariant: memory in a slot is touched by nobody until it was popped, and a slot is dropped only
//! then. So nothing is given back when the queue is dropped.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::mem::ManuallyDrop;
use core::ptr::NonNull;
use core::sync::atomic::{fence, Ordering};

use pvkernel_core::device::block::IoBuffer;
use pvkernel_virtio::queue::{Direction, Ended, Queue, Request, HEAD, TAIL};
use pvkernel_virtio::setup::SetupError;
use virtio_drivers::queue::VirtQueue;
use virtio_drivers::transport::Transport;

use super::{address, contiguous, Buffer, DmaHal};
use crate::layout::PAGE;
use crate::mmu;

/// Requests in flight.
const SLOTS: usize = 64;
/// Bytes of a cell: a head, a tail behind it, and room to be aligned.
const CELL: usize = 64;
const _: () = assert!(SLOTS * CELL == PAGE as usize && HEAD + TAIL <= CELL);

/// No slot belongs to a descriptor.
const NO_SLOT: u8 = u8::MAX;

/// A request the device has.
struct Slot {
    tag: u32,
    head_len: usize,
    tail_len: usize,
    data: Option<(NonNull<[u8]>, Direction)>,
    /// Keeps the memory.
    buffer: Option<IoBuffer>,
}

/// A queue of `SIZE` descriptors, a power of two.
pub struct DmaQueue<const SIZE: usize> {
    ring: ManuallyDrop<Box<VirtQueue<DmaHal, SIZE>>>,
    cells: NonNull<u8>,
    slots: ManuallyDrop<Vec<Option<Slot>>>,
    free: Vec<u8>,
    /// The slot of the chain that begins at a descriptor.
    slot_of: Box<[u8; SIZE]>,
}

// SAFETY: the cells and the memory in slots belong to the queue alone; the ring may move by itself.
unsafe impl<const SIZE: usize> Send for DmaQueue<SIZE> {}

impl<const SIZE: usize> DmaQueue<SIZE> {
    /// Makes queue `index` of a device whose features have been agreed on, and which does not work yet.
    ///
    /// # Errors
    /// `Registers` when the device has no such queue or a shorter one, `NoMemory`.
    pub fn new<T: Transport>(transport: &mut T, index: u16) -> Result<Self, SetupError> {
        if transport.max_queue_size(index) < SIZE as u32 {
            return Err(SetupError::Registers);
        }
        let first = contiguous::alloc(1).map_err(|_| SetupError::NoMemory)?;
        mmu::zero_frame(first);
        // Neither feature was asked for: indirect lists are allocated for each request, and what says
        // whether to notify counts wrongly once a batch passes the end of its 16 bits.
        let ring = VirtQueue::new(transport, index, false, false);
        let ring = ring.map_err(|_| SetupError::NoMemory)?;
        Ok(Self {
            ring: ManuallyDrop::new(Box::new(ring)),
            cells: address(first),
            slots: ManuallyDrop::new((0..SLOTS).map(|_| None).collect()),
            free: (0..SLOTS as u8).rev().collect(),
            slot_of: Box::new([NO_SLOT; SIZE]),
        })
    }

    /// The head of a slot's cell, and the tail.
    fn cell(&self, slot: u8) -> (NonNull<u8>, NonNull<u8>) {
        // SAFETY: the cells are one page, and there are as many as slots.
        let head = unsafe { self.cells.byte_add(usize::from(slot) * CELL) };
        // SAFETY: head and tail fit into a cell.
        (head, unsafe { head.byte_add(HEAD) })
    }
}

/// Gives a closure the type `with_parts` wants.
fn using_parts<R, F>(run: F) -> F
where
    F: for<'a> FnOnce(&'a [&'a [u8]], &'a mut [&'a mut [u8]]) -> R,
{
    run
}

/// Lends the parts of a chain to `run`: what the device reads, and what it fills.
///
/// # Safety
/// The device does not use the memory of the slot and of its cell while `run` runs, except in ways that
/// `run` starts or ends.
unsafe fn with_parts<R>(
    (head, tail): (NonNull<u8>, NonNull<u8>),
    slot: &Slot,
    run: impl for<'a> FnOnce(&'a [&'a [u8]], &'a mut [&'a mut [u8]]) -> R,
) -> R {
    let part = |at: NonNull<u8>, len: usize| NonNull::slice_from_raw_parts(at, len);
    let (data, direction) = slot.data.unwrap_or((part(head, 0), Direction::ToDevice));
    // SAFETY: the cell is the slot's, and its head is only read.
    let head = unsafe { part(head, slot.head_len).as_ref() };
    // SAFETY: the cell is the slot's, and head and tail are apart.
    let tail = unsafe { part(tail, slot.tail_len).as_mut() };
    let (mut inputs, mut outputs): ([&[u8]; 2], [&mut [u8]; 2]) = ([head, &[]], [&mut [], tail]);
    match direction {
        // SAFETY: the slot owns the memory.
        Direction::ToDevice => inputs[1] = unsafe { data.as_ref() },
        // SAFETY: the slot owns the memory, and this is the only reference to it.
        Direction::FromDevice => outputs[0] = unsafe { &mut *data.as_ptr() },
    }
    run(present(&inputs), present_mut(&mut outputs))
}

/// The parts that are not empty: they stand together.
fn present<'a, 'b>(parts: &'a [&'b [u8]; 2]) -> &'a [&'b [u8]] {
    let from = usize::from(parts[0].is_empty());
    let to = 2 - usize::from(parts[1].is_empty());
    parts.get(from..to).unwrap_or_default()
}

/// The parts that are not empty: they stand together.
fn present_mut<'a, 'b>(parts: &'a mut [&'b mut [u8]; 2]) -> &'a mut [&'b mut [u8]] {
    let from = usize::from(parts[0].is_empty());
    let to = 2 - usize::from(parts[1].is_empty());
    parts.get_mut(from..to).unwrap_or_default()
}

/// The memory of a request, if it is of the right kind and large enough.
fn memory_of(buffer: &mut IoBuffer, len: usize) -> Option<NonNull<[u8]>> {
    let memory = buffer.as_any().downcast_mut::<Buffer>()?.memory();
    let fits = (1..=memory.len()).contains(&len);
    fits.then(|| NonNull::slice_from_raw_parts(memory.cast(), len))
}

impl<const SIZE: usize> Queue for DmaQueue<SIZE> {
    fn room(&self) -> usize {
        self.ring.available_desc().min(self.free.len())
    }

    fn add(&mut self, mut request: Request) -> Result<(), Request> {
        let data = match &mut request.data {
            None => None,
            Some(data) => match memory_of(&mut data.buffer, data.len) {
                Some(memory) => Some((memory, data.direction)),
                None => return Err(request),
            },
        };
        let sizes_fit = request.head_len <= HEAD && request.tail_len <= TAIL && request.parts() > 0;
        if !sizes_fit || request.parts() > self.ring.available_desc() {
            return Err(request);
        }
        let Some(slot) = self.free.pop() else { return Err(request) };
        let Request { tag, head, head_len, data: owned, tail_len } = request;
        let (to, _) = self.cell(slot);
        // SAFETY: the slot is free, so the cell is nobody's, and it has room for a head.
        unsafe { to.copy_from_nonoverlapping(NonNull::from(&head).cast(), HEAD) };
        let buffer = owned.map(|data| data.buffer);
        let kept = Slot { tag, head_len, tail_len, data, buffer };
        let cell = self.cell(slot);
        let ring = &mut self.ring;
        let add = using_parts(|inputs, outputs| {
            // SAFETY: the slot keeps the memory, untouched, until `take` has popped the chain.
            unsafe { ring.add(inputs, outputs) }
        });
        // SAFETY: the device does not have the memory yet.
        let token = unsafe { with_parts(cell, &kept, add) };
        let token = token.expect("the parts were counted and are not empty");
        self.slot_of[usize::from(token)] = slot;
        self.slots[usize::from(slot)] = Some(kept);
        Ok(())
    }

    /// A device that names a chain it was not given is broken: its queue stands still.
    fn take(&mut self) -> Option<Ended> {
        let token = self.ring.peek_used()?;
        let slot = *self.slot_of.get(usize::from(token)).filter(|slot| **slot != NO_SLOT)?;
        let kept = self.slots.get_mut(usize::from(slot))?.take()?;
        self.slot_of[usize::from(token)] = NO_SLOT;
        let cell = self.cell(slot);
        let ring = &mut self.ring;
        let pop = using_parts(|inputs, outputs| {
            // SAFETY: these are the parts that were added under this token.
            unsafe { ring.pop_used(token, inputs, outputs) }
        });
        // SAFETY: the device has told that it is done with the chain.
        let written = unsafe { with_parts(cell, &kept, pop) };
        let written = written.expect("the chain is the next that was used");
        let mut tail = [0; TAIL];
        // SAFETY: the cell has room for a tail, and the device is done with it.
        unsafe { cell.1.copy_to_nonoverlapping(NonNull::from(&mut tail).cast(), TAIL) };
        self.free.push(slot);
        Some(Ended { tag: kept.tag, buffer: kept.buffer, tail, written: written as usize })
    }

    fn has_ended(&self) -> bool {
        self.ring.can_pop()
    }

    fn wants_notify(&self) -> bool {
        // What was added must be visible before the device's wish is read: it looks the other way round.
        fence(Ordering::SeqCst);
        self.ring.should_notify()
    }

    fn set_interrupts(&mut self, wanted: bool) {
        self.ring.set_dev_notify(wanted);
        // The wish must be visible before the queue is looked at again.
        fence(Ordering::SeqCst);
    }
}
