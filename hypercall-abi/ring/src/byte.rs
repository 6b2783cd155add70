//! Rings of bytes: console and store.
//!
//! One end produces, the other consumes. Indices run freely through all 32 bits and are masked
//! with the size of the ring on access.

use crate::{filled, RingCorrupt};

/// One direction of a byte ring in shared memory.
///
/// An implementation only moves bytes and indices. The loads of indices must be acquire loads and
/// the stores release stores, otherwise bytes may be read before they were written.
pub trait ByteRing {
    /// Bytes of the ring, a power of two.
    const SIZE: u32;

    /// Bytes written so far, acquire.
    fn load_prod(&self) -> u32;
    /// Bytes read so far, acquire.
    fn load_cons(&self) -> u32;
    /// Publishes bytes written, release.
    fn store_prod(&self, prod: u32);
    /// Publishes bytes read, release.
    fn store_cons(&self, cons: u32);
    /// The byte at `offset`, which is below `SIZE`.
    fn read_byte(&self, offset: u32) -> u8;
    /// Replaces the byte at `offset`, which is below `SIZE`.
    fn write_byte(&self, offset: u32, byte: u8);
}

/// Mask that turns an index into an offset.
const fn mask<R: ByteRing>() -> u32 {
    const { assert!(R::SIZE.is_power_of_two()) };
    R::SIZE - 1
}

/// The writing end of a ring, with its private index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Producer {
    prod: u32,
}

impl Producer {
    /// Takes over a ring at the index that was published last.
    pub fn attach<R: ByteRing>(ring: &R) -> Self {
        Self { prod: ring.load_prod() }
    }

    /// Bytes that fit now.
    ///
    /// # Errors
    /// The other end claims to have read what was never written.
    pub fn free<R: ByteRing>(&self, ring: &R) -> Result<u32, RingCorrupt> {
        filled(self.prod, ring.load_cons(), R::SIZE).map(|used| R::SIZE - used)
    }

    /// Writes as many of `bytes` as fit and returns how many; the other end is to be notified
    /// unless that is 0.
    ///
    /// # Errors
    /// The indices make no sense; nothing was written.
    pub fn write<R: ByteRing>(&mut self, ring: &R, bytes: &[u8]) -> Result<usize, RingCorrupt> {
        let free = self.free(ring)? as usize;
        let mut written = 0;
        for byte in bytes.iter().take(free) {
            ring.write_byte(self.prod & mask::<R>(), *byte);
            self.prod = self.prod.wrapping_add(1);
            written += 1;
        }
        if written > 0 {
            ring.store_prod(self.prod);
        }
        Ok(written)
    }
}

/// The reading end of a ring, with its private index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Consumer {
    cons: u32,
}

impl Consumer {
    /// Takes over a ring at the index that was published last.
    pub fn attach<R: ByteRing>(ring: &R) -> Self {
        Self { cons: ring.load_cons() }
    }

    /// Bytes that wait.
    ///
    /// # Errors
    /// The other end claims to have written more than fits.
    pub fn available<R: ByteRing>(&self, ring: &R) -> Result<u32, RingCorrupt> {
        filled(ring.load_prod(), self.cons, R::SIZE)
    }

    /// Reads as many bytes as wait and fit `buffer` and returns how many; the other end is to be
    /// notified unless that is 0, because it may wait for room.
    ///
    /// # Errors
    /// The indices make no sense; nothing was read.
    pub fn read<R: ByteRing>(&mut self, ring: &R, buffer: &mut [u8]) -> Result<usize, RingCorrupt> {
        let waiting = self.available(ring)? as usize;
        let mut read = 0;
        for to in buffer.iter_mut().take(waiting) {
            *to = ring.read_byte(self.cons & mask::<R>());
            self.cons = self.cons.wrapping_add(1);
            read += 1;
        }
        if read > 0 {
            ring.store_cons(self.cons);
        }
        Ok(read)
    }
}
