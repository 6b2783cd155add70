//! The trap table of a vCPU: one handler per vector, registered with `set_trap_table`.
//!
//! The image keeps one per vCPU and looks vectors up on every exception. Also written by the vCPU
//! context of `VCPUOP_initialise` and of the control interface.
//!
//! Invariant: every address in the table is canonical, so a handler can be entered without a check.

use hypercall_abi::addr::is_canonical;
use hypercall_abi::regs::{TrapInfo, FLAT_KERNEL_CS};
use hypercall_abi::Errno;

/// Number of vectors.
pub const VECTORS: usize = 256;

/// An entry point of a guest: a canonical address other than 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Handler {
    address: u64,
    masks_events: bool,
}

impl Handler {
    /// A handler at `address`; `None` for address 0 and for addresses that are not canonical.
    #[inline]
    #[must_use]
    pub const fn new(address: u64, masks_events: bool) -> Option<Self> {
        if address == 0 || !is_canonical(address) {
            return None;
        }
        Some(Self { address, masks_events })
    }

    /// The address.
    #[inline]
    #[must_use]
    pub const fn address(self) -> u64 {
        self.address
    }

    /// Whether entering it masks events.
    #[inline]
    #[must_use]
    pub const fn masks_events(self) -> bool {
        self.masks_events
    }
}

/// One entry as the guest gave it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Entry {
    address: u64,
    cs: u16,
    flags: u8,
}

/// What became of one entry handed to `set_trap_table`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Installed {
    /// The entry is in the table.
    Entry,
    /// The entry ends the list.
    End,
}

/// The handlers of all vectors.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrapTable {
    entries: [Entry; VECTORS],
}

impl Default for TrapTable {
    fn default() -> Self {
        Self::new()
    }
}

impl TrapTable {
    /// A table without handlers.
    #[must_use]
    pub const fn new() -> Self {
        Self { entries: [Entry { address: 0, cs: 0, flags: 0 }; VECTORS] }
    }

    /// Removes all handlers.
    pub fn clear(&mut self) {
        *self = Self::new();
    }

    /// Takes one entry of the list of `set_trap_table`.
    ///
    /// # Errors
    /// `EINVAL` for an address that is not canonical; earlier entries stay installed.
    pub fn install(&mut self, info: &TrapInfo) -> Result<Installed, Errno> {
        if info.address == 0 {
            return Ok(Installed::End);
        }
        self.set(info.vector, info)?;
        Ok(Installed::Entry)
    }

    /// Replaces the whole table by the one of a vCPU context, where the position is the vector.
    ///
    /// # Errors
    /// `EINVAL` for an address that is not canonical; the table is then unchanged.
    pub fn load(&mut self, context: &[TrapInfo; VECTORS]) -> Result<(), Errno> {
        if context.iter().any(|info| !is_canonical(info.address)) {
            return Err(Errno::EINVAL);
        }
        for (vector, info) in (0..=u8::MAX).zip(context) {
            self.set(vector, info)?;
        }
        Ok(())
    }

    /// Registers the handler of the non-maskable interrupt, which always masks events.
    ///
    /// # Errors
    /// `EINVAL` for an address that is not canonical.
    pub fn register_nmi(&mut self, address: u64) -> Result<(), Errno> {
        let vector = super::vector::NMI;
        let flags = TrapInfo::FLAG_MASK_EVENTS;
        self.set(vector, &TrapInfo::new(vector, flags, FLAT_KERNEL_CS, address))
    }

    /// Removes the handler of the non-maskable interrupt.
    pub fn unregister_nmi(&mut self) {
        if let Some(entry) = self.entries.get_mut(usize::from(super::vector::NMI)) {
            *entry = Entry::default();
        }
    }

    fn set(&mut self, vector: u8, info: &TrapInfo) -> Result<(), Errno> {
        if !is_canonical(info.address) {
            return Err(Errno::EINVAL);
        }
        if let Some(entry) = self.entries.get_mut(usize::from(vector)) {
            *entry = Entry { address: info.address, cs: info.cs | 3, flags: info.flags };
        }
        Ok(())
    }

    #[inline]
    fn entry(&self, vector: u8) -> Entry {
        // 256 entries for 256 vectors: the check folds away.
        self.entries.get(usize::from(vector)).copied().unwrap_or_default()
    }

    /// The handler of a vector, if there is one.
    #[inline]
    #[must_use]
    pub fn handler(&self, vector: u8) -> Option<Handler> {
        let entry = self.entry(vector);
        Handler::new(entry.address, entry.flags & TrapInfo::FLAG_MASK_EVENTS != 0)
    }

    /// Least privileged level (0 to 3) that may use the vector with INT.
    #[must_use]
    pub fn dpl(&self, vector: u8) -> u8 {
        self.entry(vector).flags & TrapInfo::FLAG_DPL_MASK
    }

    /// The entry of a vector in the form of a vCPU context.
    #[must_use]
    pub fn info(&self, vector: u8) -> TrapInfo {
        let entry = self.entry(vector);
        if entry.address == 0 {
            return TrapInfo::default();
        }
        TrapInfo::new(vector, entry.flags, entry.cs, entry.address)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_kept_until_a_bad_address_or_the_end() {
        let mut table = TrapTable::new();
        let good = TrapInfo::new(14, 4, 0xe030, 0xffff_ffff_8100_0000);
        assert_eq!(table.install(&good), Ok(Installed::Entry));
        let bad = TrapInfo::new(13, 4, 0xe030, 1 << 60);
        assert_eq!(table.install(&bad), Err(Errno::EINVAL));
        assert_eq!(table.install(&TrapInfo::default()), Ok(Installed::End));
        assert_eq!(table.handler(14), Handler::new(0xffff_ffff_8100_0000, true));
        assert_eq!(table.handler(13), None);
        assert_eq!(table.info(14), TrapInfo::new(14, 4, 0xe033, 0xffff_ffff_8100_0000));
        table.clear();
        assert_eq!(table, TrapTable::new());
    }

    #[test]
    fn a_context_with_one_bad_address_changes_nothing() {
        let mut table = TrapTable::new();
        let mut context = [TrapInfo::default(); VECTORS];
        context[3] = TrapInfo::new(0, 3, 0, 0x1000);
        context[255].address = 1 << 47;
        assert_eq!(table.load(&context), Err(Errno::EINVAL));
        assert_eq!(table, TrapTable::new());
        context[255].address = 0;
        assert_eq!(table.load(&context), Ok(()));
        assert_eq!((table.handler(3), table.dpl(3)), (Handler::new(0x1000, false), 3));
    }

    #[test]
    fn the_nmi_handler_masks_events_and_can_be_removed() {
        let mut table = TrapTable::new();
        assert_eq!(table.register_nmi(1 << 50), Err(Errno::EINVAL));
        assert_eq!(table.register_nmi(0x2000), Ok(()));
        assert_eq!(table.handler(2), Handler::new(0x2000, true));
        table.unregister_nmi();
        assert_eq!(table.handler(2), None);
    }
}
