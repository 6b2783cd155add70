//! The debug registers of a vCPU: `set_debugreg`, `get_debugreg` and the emulated `MOV DR`.
//!
//! The image loads the real registers from here, and only while [`DebugRegs::is_active`].
//!
//! Invariants: no breakpoint address lies in the hypervisor's hole; the value for the real DR7
//! never enables general detect or an I/O breakpoint, so a guest cannot make the hypervisor trap.

use crate::ensure;
use hypercall_abi::addr::GuestVa;
use hypercall_abi::Errno;

/// Bits of DR6 that always read as one.
pub const DR6_ONES: u64 = 0xffff_0ff0;
/// Bits of DR6 that always read as zero.
const DR6_ZEROES: u64 = 1 << 12;
/// Bit of DR7 that always reads as one.
pub const DR7_ONES: u64 = 1 << 10;
/// Bits of DR7 that always read as zero.
const DR7_ZEROES: u64 = 1 << 11 | 1 << 12 | 1 << 14 | 1 << 15;
/// General detect: an access to a debug register traps.
const DR7_GENERAL_DETECT: u64 = 1 << 13;
/// The local and global enable bits of the four breakpoints.
const DR7_ENABLES: u64 = 0xff;
/// Type of a breakpoint on port accesses.
const TYPE_IO: u64 = 2;

/// The debug registers as the guest sees them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DebugRegs {
    addresses: [u64; 4],
    dr6: u64,
    dr7: u64,
    /// Enable bits of I/O breakpoints: the guest reads them back, the processor never has them.
    io_enables: u64,
    /// An emulated instruction has caused a debug exception that is still to be delivered.
    is_raised: bool,
}

impl Default for DebugRegs {
    fn default() -> Self {
        Self { addresses: [0; 4], dr6: DR6_ONES, dr7: DR7_ONES, io_enables: 0, is_raised: false }
    }
}

impl DebugRegs {
    /// Writes a register; `has_de` is the guest's CR4.DE.
    ///
    /// # Errors
    /// `EPERM` for an address or an enable a guest may not have, `EINVAL` for a value beyond 32
    /// bits in DR6 and DR7, `ENODEV` for a register that does not exist.
    pub fn set(&mut self, reg: u64, value: u64, has_de: bool) -> Result<(), Errno> {
        match resolve_alias(reg, has_de)? {
            6 | 7 if value >> 32 != 0 => return Err(Errno::EINVAL),
            6 => self.dr6 = (value | DR6_ONES) & !DR6_ZEROES,
            7 => self.set_dr7(value, has_de)?,
            _ if !GuestVa::new(value).is_guest_accessible() => return Err(Errno::EPERM),
            index => *self.addresses.get_mut(index).ok_or(Errno::ENODEV)? = value,
        }
        Ok(())
    }

    /// Reads a register; `has_de` is the guest's CR4.DE.
    ///
    /// # Errors
    /// `ENODEV` for a register that does not exist.
    pub fn get(&self, reg: u64, has_de: bool) -> Result<u64, Errno> {
        match resolve_alias(reg, has_de)? {
            6 => Ok(self.dr6),
            7 => Ok(self.dr7 | self.io_enables),
            index => self.addresses.get(index).copied().ok_or(Errno::ENODEV),
        }
    }

    fn set_dr7(&mut self, value: u64, has_de: bool) -> Result<(), Errno> {
        let wanted = (value | DR7_ONES) & !DR7_ZEROES;
        let on_io = (0..4).filter(|index| wanted >> (16 + 4 * index) & 3 == TYPE_IO);
        let io_enables = wanted & on_io.fold(0, |enables, index| enables | 3 << (2 * index));
        let may_have = io_enables == 0 || has_de;
        ensure(wanted & DR7_GENERAL_DETECT == 0 && may_have, Errno::EPERM)?;
        (self.dr7, self.io_enables) = (wanted & !io_enables, io_enables);
        Ok(())
    }

    /// Adds the causes of a debug exception to DR6, as the processor does.
    pub fn merge_dr6(&mut self, causes: u64) {
        self.dr6 = (self.dr6 | causes & 0xffff_ffff | DR6_ONES) & !DR6_ZEROES;
    }

    /// Notes causes of a debug exception, as bits of DR6, while an instruction is emulated.
    pub fn raise(&mut self, causes: u64) {
        self.is_raised |= causes != 0;
        self.merge_dr6(causes);
    }

    /// Whether the instruction just emulated ends with a debug exception; asked once.
    pub fn take_raised(&mut self) -> bool {
        core::mem::take(&mut self.is_raised)
    }

    /// Raises the I/O breakpoints that an access to `width` ports from `port` hits. The processor
    /// does not know them: the guest's port instructions are all emulated.
    pub fn access_port(&mut self, port: u16, width: u8) {
        if self.io_enables == 0 {
            return;
        }
        let first = u64::from(port);
        let hits = (0..4).filter(|index| {
            let last_byte = self.dr7 >> (18 + 4 * index) & 3;
            let start = self.addresses[*index as usize] & !last_byte;
            let is_enabled = self.io_enables >> (2 * index) & 3 != 0;
            is_enabled && start < first + u64::from(width) && first <= start + last_byte
        });
        self.raise(hits.fold(0, |causes, index| causes | 1 << index));
    }

    /// Whether the real registers must be loaded while the vCPU runs.
    pub fn is_active(&self) -> bool {
        self.dr7 & DR7_ENABLES != 0
    }

    /// The values for the real DR0 to DR3, DR6 and DR7.
    pub fn hardware(&self) -> [u64; 6] {
        let [dr0, dr1, dr2, dr3] = self.addresses;
        [dr0, dr1, dr2, dr3, 0, self.dr7]
    }
}

/// The register behind 4 and 5, which are other names of 6 and 7 unless debug extensions are on.
fn resolve_alias(reg: u64, has_de: bool) -> Result<usize, Errno> {
    match reg {
        0..=3 | 6 | 7 => Ok(reg as usize),
        4 | 5 if !has_de => Ok(reg as usize + 2),
        _ => Err(Errno::ENODEV),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reserved_bits_are_forced_and_high_halves_refused() {
        let mut regs = DebugRegs::default();
        assert_eq!((regs.get(6, false), regs.get(7, false)), (Ok(0xffff_0ff0), Ok(0x400)));
        regs.set(6, 0x1001, false).unwrap();
        assert_eq!(regs.get(6, false), Ok(0xffff_0ff1));
        regs.set(7, 0xd955, false).unwrap();
        assert_eq!(regs.get(7, false), Ok(0x555));
        assert_eq!(regs.set(6, 1 << 32, false), Err(Errno::EINVAL));
        assert_eq!(regs.set(7, 1 << 32, false), Err(Errno::EINVAL));
    }

    #[test]
    fn four_and_five_are_other_names_unless_debug_extensions_are_on() {
        let mut regs = DebugRegs::default();
        regs.set(5, 1, false).unwrap();
        assert_eq!(regs.get(7, false), Ok(0x401));
        assert_eq!(regs.get(5, true), Err(Errno::ENODEV));
        assert_eq!(regs.set(4, 0, true), Err(Errno::ENODEV));
        assert_eq!(regs.set(8, 0, false), Err(Errno::ENODEV));
        assert_eq!(regs.get(u64::MAX, false), Err(Errno::ENODEV));
    }

    #[test]
    fn breakpoints_on_the_hypervisor_and_general_detect_are_refused() {
        let mut regs = DebugRegs::default();
        for bad in [0xffff_8000_0000_0000, 0xffff_87ff_ffff_ffff, 1 << 47] {
            assert_eq!(regs.set(0, bad, false), Err(Errno::EPERM));
        }
        assert_eq!(regs.set(3, 0xffff_8800_0000_0000, false), Ok(()));
        assert_eq!(regs.set(7, 1 << 13, false), Err(Errno::EPERM));
    }

    #[test]
    fn io_breakpoints_need_debug_extensions_and_never_reach_the_processor() {
        let mut regs = DebugRegs::default();
        let io_on_0 = 2 << 16 | 1 << 18 | 1;
        assert_eq!(regs.set(7, io_on_0, false), Err(Errno::EPERM));
        regs.set(7, io_on_0, true).unwrap();
        assert_eq!(regs.get(7, true), Ok(io_on_0 | 0x400));
        assert!(!regs.is_active());
        regs.set(0, 0x3f8, true).unwrap();
        for (port, width, hit) in
            [(0x3f9, 1, true), (0x3f6, 4, true), (0x3fa, 1, false), (0x3f4, 4, false)]
        {
            regs.set(6, 0, true).unwrap();
            regs.access_port(port, width);
            assert_eq!(regs.get(6, true), Ok(DR6_ONES | u64::from(hit)), "port {port:#x}");
            assert_eq!((regs.take_raised(), regs.take_raised()), (hit, false), "port {port:#x}");
        }
        regs.set(7, 0, true).unwrap();
        regs.access_port(0x3f8, 1);
        assert!(!regs.take_raised());
    }

    proptest! {
        #[test]
        fn no_sequence_of_writes_makes_the_real_registers_dangerous(
            writes in prop::collection::vec((0_u64..10, any::<u64>(), any::<bool>()), 0..20),
        ) {
            let mut regs = DebugRegs::default();
            for (reg, value, has_de) in writes {
                // A refused write is part of the sequence: it must change nothing dangerous.
                let before = regs;
                if regs.set(reg, value, has_de).is_err() {
                    prop_assert_eq!(before, regs);
                }
                let [dr0, dr1, dr2, dr3, dr6, dr7] = regs.hardware();
                prop_assert_eq!(dr6, 0);
                for address in [dr0, dr1, dr2, dr3] {
                    prop_assert!(GuestVa::new(address).is_guest_accessible());
                }
                prop_assert_eq!(dr7 & DR7_GENERAL_DETECT, 0);
                for index in 0..4 {
                    let is_enabled = dr7 >> (2 * index) & 3 != 0;
                    let kind = dr7 >> (16 + 4 * index) & 3;
                    prop_assert!(!(is_enabled && kind == TYPE_IO));
                }
            }
        }
    }
}
