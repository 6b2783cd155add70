//! The words of a map operation: what was asked for, and what a handle stands for.
//!
//! Used by the image to decode arguments and by [`super::Maptrack`] to remember them.

use hypercall_abi::grant::gntmap;
use hypercall_abi::mmu::pte;
use hypercall_abi::{DomId, GrantRef, Mfn};

use super::GrantError;

/// Whether the frame may be written through the grant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Access {
    /// Only read.
    #[default]
    ReadOnly,
    /// Read and written.
    ReadWrite,
}

bitflags::bitflags! {
    /// What an entry is used for; each kind holds page references of its own.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct UseKinds: u8 {
        /// A mapping for devices, by machine address.
        const DEVICE = gntmap::DEVICE_MAP as u8;
        /// A mapping for the CPU, through a page-table entry.
        const HOST = gntmap::HOST_MAP as u8;
        /// One copy, released right after.
        const COPY = 4;
    }
}

impl UseKinds {
    /// How many kinds these are.
    #[inline]
    pub const fn count(self) -> u16 {
        const COUNTS: [u16; 8] = [0, 1, 1, 2, 1, 2, 2, 3];
        COUNTS[self.bits() as usize % 8]
    }
}

/// The flags of a map operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MapRequest {
    /// For whom to map.
    pub kinds: UseKinds,
    /// Read only or not.
    pub access: Access,
    /// The host address is the machine address of a page-table entry.
    pub contains_pte: bool,
    /// Bits of the page-table entry, but for the frame and the right to execute. Bits 9 to 11 are the
    /// guest's own.
    pub leaf_bits: u64,
}

/// Number of `GUEST_AVAIL` bits that have a place in a page-table entry.
const AVAIL_MASK: u32 = 7;
/// First bit of a page-table entry that is the guest's own.
const PTE_AVAIL_SHIFT: u32 = 9;

impl MapRequest {
    /// Decodes the flags of `GNTTABOP_map_grant_ref`. Flags without a meaning are ignored, as Xen
    /// does.
    ///
    /// # Errors
    /// `NothingToMap`.
    pub fn decode(flags: u32) -> Result<Self, GrantError> {
        let kinds =
            UseKinds::from_bits_retain(flags as u8) & UseKinds::HOST.union(UseKinds::DEVICE);
        if kinds.is_empty() {
            return Err(GrantError::NothingToMap);
        }
        let (access, rights) = match flags & gntmap::READONLY {
            0 => (Access::ReadWrite, pte::RW),
            _ => (Access::ReadOnly, 0),
        };
        let avail = (flags >> gntmap::GUEST_AVAIL0.trailing_zeros()) & AVAIL_MASK;
        let mut leaf_bits = pte::PRESENT | pte::ACCESSED | pte::DIRTY | rights;
        leaf_bits |= u64::from(avail) << PTE_AVAIL_SHIFT;
        if flags & gntmap::APPLICATION_MAP != 0 {
            leaf_bits |= pte::USER;
        }
        let contains_pte = flags & gntmap::CONTAINS_PTE != 0;
        Ok(Self { kinds, access, contains_pte, leaf_bits })
    }
}

/// What a handle stands for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mapping {
    /// The domain whose frame is mapped.
    pub granter: DomId,
    /// Its entry.
    pub gref: GrantRef,
    /// The frame, as it was when the entry was acquired.
    pub frame: Mfn,
    /// Read only or not.
    pub access: Access,
    /// The address of an unmap is that of the page-table entry, as it was when mapping.
    pub contains_pte: bool,
    /// Kinds that are still mapped.
    pub kinds: UseKinds,
}

impl Mapping {
    /// The kinds that an unmap operation with these addresses takes away; 0 means "not this one".
    /// A kind that is named and not mapped is passed over, as Xen does.
    ///
    /// # Errors
    /// `WrongAddress` if the device address is not the frame's.
    pub fn plan_unmap(&self, host_addr: u64, dev_bus_addr: u64) -> Result<UseKinds, GrantError> {
        if dev_bus_addr != 0 && dev_bus_addr != self.frame.maddr() {
            return Err(GrantError::WrongAddress);
        }
        let mut named = UseKinds::empty();
        named.set(UseKinds::HOST, host_addr != 0);
        named.set(UseKinds::DEVICE, dev_bus_addr != 0);
        Ok(named & self.kinds)
    }
}
