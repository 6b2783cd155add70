//! What is asked of a virtqueue.
//!
//! A request is a chain of at most three parts: a short head the device reads, memory it reads or
//! fills, and a short tail it fills. While the device has the chain the queue owns its memory, so there
//! is nothing anybody could do wrong with it: the backend's implementation is the only unsafe code.

use pvkernel_core::device::block::IoBuffer;

/// Longest head.
pub const HEAD: usize = 32;
/// Longest tail.
pub const TAIL: usize = 16;

/// Which way the memory of a request goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// The device reads it.
    ToDevice,
    /// The device fills it.
    FromDevice,
}

/// The memory of a request.
pub struct Data {
    /// The memory; it must come from the backend's pools.
    pub buffer: IoBuffer,
    /// Bytes from its start that are meant; not 0.
    pub len: usize,
    /// Which way they go.
    pub direction: Direction,
}

/// A request for a device. At least one part is not empty.
pub struct Request {
    /// Names the request for its owner.
    pub tag: u32,
    /// Bytes the device reads first.
    pub head: [u8; HEAD],
    /// How many of them.
    pub head_len: usize,
    /// The memory.
    pub data: Option<Data>,
    /// Bytes the device fills last.
    pub tail_len: usize,
}

impl Request {
    /// A request that consists of memory.
    #[must_use]
    pub fn of_data(tag: u32, data: Data) -> Self {
        Self { tag, head: [0; HEAD], head_len: 0, data: Some(data), tail_len: 0 }
    }

    /// Parts that are not empty: what the request needs of the queue's room.
    #[must_use]
    pub fn parts(&self) -> usize {
        usize::from(self.head_len > 0)
            + usize::from(self.data.is_some())
            + usize::from(self.tail_len > 0)
    }
}

/// A request the device is done with.
pub struct Ended {
    /// The request.
    pub tag: u32,
    /// Its memory.
    pub buffer: Option<IoBuffer>,
    /// The tail the device filled.
    pub tail: [u8; TAIL],
    /// Bytes the device says it wrote, tail included.
    pub written: usize,
}

/// A virtqueue that owns what its device works on. Dropping it before the device was reset would leave
/// the device with memory of somebody else, so implementations give nothing back when dropped.
pub trait Queue: Send {
    /// Parts there is room for.
    fn room(&self) -> usize;

    /// Gives a request to the device, which need not notice before it is notified.
    ///
    /// # Errors
    /// The request, when there is no room for it, or its memory is too small or of another kind.
    fn add(&mut self, request: Request) -> Result<(), Request>;

    /// Takes the oldest request the device is done with.
    fn take(&mut self) -> Option<Ended>;

    /// Whether `take` would find one.
    fn has_ended(&self) -> bool;

    /// Whether the device wants to be notified of what was added.
    fn wants_notify(&self) -> bool;

    /// Asks the device for interrupts, or to leave them out; a hint.
    fn set_interrupts(&mut self, wanted: bool);
}
