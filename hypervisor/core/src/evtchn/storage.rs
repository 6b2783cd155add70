//! Storage of ports: chunks of 64 that come into being when needed, and a two-level bitmap of free
//! ports so that the lowest one is found without a search.
//!
//! Used only by [`super::PortTable`]. Invariant: a bit of `free` is set exactly when the entry is
//! `Free` and its number is within the limit; a bit of `open` is set exactly when the chunk's word
//! of `free` is not zero; `live` counts the usable entries. Chunks are never given back before the
//! table dies, so a port that was valid once stays valid.

use alloc::boxed::Box;
use alloc::vec::Vec;

use hypercall_abi::EvtchnPort;

use super::channel::{Channel, Entry};
use super::{EvtchnError, PORTS_2L};

/// Ports in one chunk; Xen's tables grow by the same number, which a guest can observe.
const CHUNK: usize = 64;

#[derive(Debug)]
pub(super) struct PortStore {
    #[expect(clippy::vec_box, reason = "growing must neither move entries nor need one big block")]
    chunks: Vec<Box<[Entry; CHUNK]>>,
    free: Vec<u64>,
    open: u64,
    live: u32,
    max_port: u32,
}

impl PortStore {
    /// A table with its first chunk. `max_port` is inclusive and cut to what the ABI can express.
    pub(super) fn new(max_port: u32) -> Result<Self, EvtchnError> {
        let max_port = max_port.min(PORTS_2L - 1);
        let mut store = Self { chunks: Vec::new(), free: Vec::new(), open: 0, live: 0, max_port };
        store.grow()?;
        store.put(EvtchnPort::new(0), Entry { channel: Channel::Reserved, ..Entry::FREE });
        Ok(store)
    }

    #[inline]
    pub(super) fn get(&self, port: EvtchnPort) -> Option<&Entry> {
        let index = port.get() as usize;
        self.chunks.get(index / CHUNK).map(|chunk| &chunk[index % CHUNK])
    }

    pub(super) fn get_mut(&mut self, port: EvtchnPort) -> Option<&mut Entry> {
        let index = port.get() as usize;
        self.chunks.get_mut(index / CHUNK).map(|chunk| &mut chunk[index % CHUNK])
    }

    /// Ports that are valid numbers at present.
    pub(super) fn len(&self) -> u32 {
        (self.chunks.len() * CHUNK) as u32
    }

    pub(super) fn live(&self) -> u32 {
        self.live
    }

    pub(super) fn max_port(&self) -> u32 {
        self.max_port
    }

    /// The lowest free port, without taking it; may allocate a chunk.
    pub(super) fn lowest_free(&mut self) -> Result<EvtchnPort, EvtchnError> {
        if self.open == 0 {
            self.grow()?;
        }
        let chunk = self.open.trailing_zeros();
        let word = self.free.get(chunk as usize).copied().unwrap_or(0);
        if word == 0 {
            return Err(EvtchnError::NoPorts);
        }
        Ok(EvtchnPort::new(chunk * CHUNK as u32 + word.trailing_zeros()))
    }

    /// Replaces an entry and keeps the bitmaps and the count. Numbers beyond the table are ignored.
    pub(super) fn put(&mut self, port: EvtchnPort, entry: Entry) {
        let limit = self.max_port;
        let Some(slot) = self.get_mut(port) else { return };
        let was_usable = slot.channel.is_usable();
        *slot = entry;
        let is_free = entry.channel == Channel::Free && port.get() <= limit;
        self.live -= u32::from(was_usable);
        self.live += u32::from(entry.channel.is_usable());
        self.mark(port, is_free);
    }

    fn mark(&mut self, port: EvtchnPort, is_free: bool) {
        let index = port.get() as usize;
        let Some(word) = self.free.get_mut(index / CHUNK) else { return };
        let bit = 1u64 << (index % CHUNK);
        *word = if is_free { *word | bit } else { *word & !bit };
        let open_bit = 1u64 << (index / CHUNK);
        self.open = if *word == 0 { self.open & !open_bit } else { self.open | open_bit };
    }

    fn grow(&mut self) -> Result<(), EvtchnError> {
        let first = self.len();
        if first > self.max_port {
            return Err(EvtchnError::NoPorts);
        }
        self.chunks.try_reserve(1).map_err(|_| EvtchnError::NoMemory)?;
        self.free.try_reserve(1).map_err(|_| EvtchnError::NoMemory)?;
        let usable = (self.max_port - first + 1).min(CHUNK as u32);
        self.chunks.push(new_chunk()?);
        self.free.push(u64::MAX >> (CHUNK as u32 - usable));
        self.open |= 1 << (first as usize / CHUNK);
        Ok(())
    }
}

fn new_chunk() -> Result<Box<[Entry; CHUNK]>, EvtchnError> {
    let mut entries = Vec::new();
    entries.try_reserve_exact(CHUNK).map_err(|_| EvtchnError::NoMemory)?;
    entries.resize(CHUNK, Entry::FREE);
    entries.into_boxed_slice().try_into().map_err(|_| EvtchnError::NoMemory)
}
