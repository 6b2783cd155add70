//! Use counts of one entry, and their storage for a whole table.
//!
//! Used only by [`super::GrantTable`]. Invariant: `Active::is_pinned` exactly when some count is
//! not zero; `frame` and `mapper` mean something only then.

use alloc::boxed::Box;
use alloc::vec::Vec;

use hypercall_abi::{DomId, GrantRef};

use super::map::{Access, MapKinds};
use super::GrantError;

/// Records allocated at a time.
const CHUNK: usize = 64;

/// Uses of an entry, by kind and access.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Pins {
    host_read: u16,
    host_write: u16,
    device_read: u16,
    device_write: u16,
}

/// The hypervisor's own record of an entry in use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Active {
    /// The frame that was granted when the first use began.
    pub(super) frame: u32,
    /// The only domain that uses the entry.
    pub(super) mapper: DomId,
    pins: Pins,
}

impl Active {
    pub(super) fn is_pinned(&self) -> bool {
        self.pins != Pins::default()
    }

    pub(super) fn has_writer(&self) -> bool {
        self.pins.host_write != 0 || self.pins.device_write != 0
    }

    /// Adds a use of every kind in `kinds`, or none.
    ///
    /// # Errors
    /// `TooManyUses`.
    pub(super) fn pin(&mut self, access: Access, kinds: MapKinds) -> Result<(), GrantError> {
        self.step(access, kinds, |count| count.checked_add(1)).ok_or(GrantError::TooManyUses)
    }

    /// Takes a use of every kind in `kinds` away; `None`, and nothing changes, if one is missing.
    pub(super) fn unpin(&mut self, access: Access, kinds: MapKinds) -> Option<()> {
        self.step(access, kinds, |count| count.checked_sub(1))
    }

    fn step(
        &mut self,
        access: Access,
        kinds: MapKinds,
        change: impl Fn(u16) -> Option<u16>,
    ) -> Option<()> {
        let mut pins = self.pins;
        let (host, device) = match access {
            Access::ReadOnly => (&mut pins.host_read, &mut pins.device_read),
            Access::ReadWrite => (&mut pins.host_write, &mut pins.device_write),
        };
        if kinds.contains(MapKinds::HOST) {
            *host = change(*host)?;
        }
        if kinds.contains(MapKinds::DEVICE) {
            *device = change(*device)?;
        }
        self.pins = pins;
        Some(())
    }
}

/// The records of all entries of a table; entries that were never used cost nothing.
#[derive(Debug, Default)]
pub(super) struct ActiveEntries {
    chunks: Vec<Option<Box<[Active; CHUNK]>>>,
}

impl ActiveEntries {
    pub(super) const fn new() -> Self {
        Self { chunks: Vec::new() }
    }

    /// The record of an entry as it is, unused if there is none.
    #[inline]
    pub(super) fn get(&self, gref: GrantRef) -> Active {
        let index = gref.get() as usize;
        match self.chunks.get(index / CHUNK) {
            Some(Some(chunk)) => chunk[index % CHUNK],
            _ => Active::default(),
        }
    }

    /// The record of an entry whose chunk exists.
    #[inline]
    pub(super) fn get_mut(&mut self, gref: GrantRef) -> Option<&mut Active> {
        let index = gref.get() as usize;
        let chunk = self.chunks.get_mut(index / CHUNK)?.as_mut()?;
        Some(&mut chunk[index % CHUNK])
    }

    /// The record of an entry, created if needed. The caller checked the reference against the
    /// size of the table, which bounds what a guest can make this allocate.
    ///
    /// # Errors
    /// `NoMemory`.
    pub(super) fn get_or_create(&mut self, gref: GrantRef) -> Result<&mut Active, GrantError> {
        let index = gref.get() as usize;
        let wanted = index / CHUNK + 1;
        if let Some(missing) = wanted.checked_sub(self.chunks.len()) {
            self.chunks.try_reserve(missing).map_err(|_| GrantError::NoMemory)?;
            self.chunks.resize_with(wanted, || None);
        }
        let slot = self.chunks.get_mut(index / CHUNK).ok_or(GrantError::NoMemory)?;
        if slot.is_none() {
            *slot = Some(new_chunk()?);
        }
        let chunk = slot.as_mut().ok_or(GrantError::NoMemory)?;
        Ok(&mut chunk[index % CHUNK])
    }
}

fn new_chunk() -> Result<Box<[Active; CHUNK]>, GrantError> {
    let mut records = Vec::new();
    records.try_reserve_exact(CHUNK).map_err(|_| GrantError::NoMemory)?;
    records.resize(CHUNK, Active::default());
    records.into_boxed_slice().try_into().map_err(|_| GrantError::NoMemory)
}
