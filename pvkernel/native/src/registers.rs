//! Registers of 32 bits in the memory of a device.

use core::ptr::NonNull;

use pvkernel_core::platform::MapError;

use crate::mmio;

/// Registers of 32 bits.
#[derive(Clone, Copy, Debug)]
pub struct Registers(NonNull<u8>, usize);

// SAFETY: registers are reached by whole volatile accesses; who uses them from several places puts
// them in order.
unsafe impl Send for Registers {}
// SAFETY: as above.
unsafe impl Sync for Registers {}

impl Registers {
    /// Maps `len` bytes of registers.
    ///
    /// # Errors
    /// As `mmio::map`.
    pub fn map(paddr: u64, len: usize) -> Result<Self, MapError> {
        mmio::map(paddr, len).map(|start| Self(start, len))
    }

    fn at(&self, offset: usize) -> *mut u32 {
        assert!(offset < self.1 && offset.is_multiple_of(4), "no such register");
        self.0.as_ptr().wrapping_add(offset).cast()
    }

    /// Reads a register.
    #[must_use]
    pub fn read(&self, offset: usize) -> u32 {
        // SAFETY: mapped for ever, and inside by the check.
        unsafe { self.at(offset).read_volatile() }
    }

    /// Writes a register.
    pub fn write(&self, offset: usize, value: u32) {
        // SAFETY: as in `read`.
        unsafe { self.at(offset).write_volatile(value) }
    }
}
