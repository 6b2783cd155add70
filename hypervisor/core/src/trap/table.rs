//! The trap table of a vCPU: one handler per vector, registered with `set_trap_table`.
//!
//! The image keeps one per vCPU and looks vectors up on every exception. Also written by the vCPU
//! context of `VCPUOP_initialise` and of the control interface.
//!
//! Invariant: every address in the table is canonical, so a handler can be entered without a check.

use super::vector;
use crate::ensure;
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
    pub const fn new(address: u64, masks_events: bool) -> Option<Self> {
        if address == 0 || !is_canonical(address) {
            return None;
        }
        Some(Self { address, masks_events })
    }

    /// The address.
    pub const fn address(self) -> u64 {
        self.address
    }

    /// Whether entering it masks events.
    pub const fn masks_events(self) -> bool {
        self.masks_events
    }
}

/// The handlers of all vectors, in the form of a vCPU context.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrapTable {
    entries: [TrapInfo; VECTORS],
}

impl Default for TrapTable {
    fn default() -> Self {
        Self { entries: [TrapInfo::default(); VECTORS] }
    }
}

impl TrapTable {
    /// Removes all handlers.
    pub fn clear(&mut self) {
        self.entries.fill(TrapInfo::default());
    }

    /// Takes one entry of the list of `set_trap_table`, and returns whether it is one: an entry with
    /// address 0 ends the list.
    ///
    /// # Errors
    /// `EINVAL` for an address that is not canonical; earlier entries stay installed.
    pub fn install(&mut self, info: &TrapInfo) -> Result<bool, Errno> {
        if info.address != 0 {
            self.set(info.vector, info)?;
        }
        Ok(info.address != 0)
    }

    /// Replaces the whole table by the one of a vCPU context, where the position is the vector.
    ///
    /// # Errors
    /// `EINVAL` for an address that is not canonical; the table is then unchanged.
    pub fn load(&mut self, context: &[TrapInfo; VECTORS]) -> Result<(), Errno> {
        ensure(context.iter().all(|info| is_canonical(info.address)), Errno::EINVAL)?;
        (0..=u8::MAX).zip(context).try_for_each(|(vector, info)| self.set(vector, info))
    }

    /// Registers the handler of the non-maskable interrupt, which always masks events; address 0
    /// removes it.
    ///
    /// # Errors
    /// `EINVAL` for an address that is not canonical.
    pub fn register_nmi(&mut self, address: u64) -> Result<(), Errno> {
        let flags = TrapInfo::FLAG_MASK_EVENTS;
        self.set(vector::NMI, &TrapInfo::new(vector::NMI, flags, FLAT_KERNEL_CS, address))
    }

    fn set(&mut self, vector: u8, info: &TrapInfo) -> Result<(), Errno> {
        ensure(is_canonical(info.address), Errno::EINVAL)?;
        self.entries[usize::from(vector)] = match info.address {
            0 => TrapInfo::default(),
            address => TrapInfo::new(vector, info.flags, info.cs | 3, address),
        };
        Ok(())
    }

    /// The entry of a vector in the form of a vCPU context.
    pub fn info(&self, vector: u8) -> TrapInfo {
        // 256 entries for 256 vectors: this cannot be out of bounds.
        self.entries[usize::from(vector)]
    }

    /// The handler of a vector, if there is one.
    pub fn handler(&self, vector: u8) -> Option<Handler> {
        // 256 entries for 256 vectors: this cannot be out of bounds.
        let entry = &self.entries[usize::from(vector)];
        let masks_events = entry.masks_events();
        (entry.address != 0).then_some(Handler { address: entry.address, masks_events })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_kept_until_a_bad_address_or_the_end() {
        let mut table = TrapTable::default();
        let good = TrapInfo::new(14, 4, 0xe030, 0xffff_ffff_8100_0000);
        assert_eq!(table.install(&good), Ok(true));
        let bad = TrapInfo::new(13, 4, 0xe030, 1 << 60);
        assert_eq!(table.install(&bad), Err(Errno::EINVAL));
        assert_eq!(table.install(&TrapInfo::default()), Ok(false));
        assert_eq!(table.handler(14), Handler::new(0xffff_ffff_8100_0000, true));
        assert_eq!(table.handler(13), None);
        assert_eq!(table.info(14), TrapInfo::new(14, 4, 0xe033, 0xffff_ffff_8100_0000));
        table.clear();
        assert_eq!(table, TrapTable::default());
    }

    #[test]
    fn a_context_with_one_bad_address_changes_nothing() {
        let mut table = TrapTable::default();
        let mut context = [TrapInfo::default(); VECTORS];
        context[3] = TrapInfo::new(0, 3, 0, 0x1000);
        context[255].address = 1 << 47;
        assert_eq!(table.load(&context), Err(Errno::EINVAL));
        assert_eq!(table, TrapTable::default());
        context[255].address = 0;
        assert_eq!(table.load(&context), Ok(()));
        assert_eq!((table.handler(3), table.info(3).dpl()), (Handler::new(0x1000, false), 3));
    }

    #[test]
    fn the_nmi_handler_masks_events_and_can_be_removed() {
        let mut table = TrapTable::default();
        assert_eq!(table.register_nmi(1 << 50), Err(Errno::EINVAL));
        assert_eq!(table.register_nmi(0x2000), Ok(()));
        assert_eq!(table.handler(2), Handler::new(0x2000, true));
        table.register_nmi(0).unwrap();
        assert_eq!(table.handler(2), None);
    }
}
