//! The registers an emulated instruction can read, and parts of them.
//!
//! The image implements [`GuestRegs`] for its saved frame, so no copy is needed. Registers are
//! numbered as instructions encode them. Register parts follow the rules of the processor: a
//! 4-byte result clears the upper half, smaller ones leave the rest alone.
//!
//! Invariant: emulation only reads through this trait; what an instruction changes is returned.

use super::alu::width_mask;

/// Number of rax.
pub const RAX: u8 = 0;
/// Number of rcx.
pub const RCX: u8 = 1;
/// Number of rdx.
pub const RDX: u8 = 2;
/// Number of rbx.
pub const RBX: u8 = 3;
/// Number of rsi.
pub const RSI: u8 = 6;
/// Number of rdi.
pub const RDI: u8 = 7;

/// Read access to the registers of an interrupted guest.
pub trait GuestRegs {
    /// A general register, 0 (rax) to 15 (r15).
    fn gpr(&self, number: u8) -> u64;
    /// The instruction pointer.
    fn rip(&self) -> u64;
    /// The flags.
    fn rflags(&self) -> u64;
    /// The base of segment fs.
    fn fs_base(&self) -> u64;
    /// The base of segment gs.
    fn gs_base(&self) -> u64;
}

/// A segment that has a base in 64-bit mode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Segment {
    /// Segment fs.
    Fs,
    /// Segment gs.
    Gs,
}

impl Segment {
    /// The base of a segment, 0 for none.
    pub fn base_of(segment: Option<Self>, regs: &impl GuestRegs) -> u64 {
        match segment {
            None => 0,
            Some(Self::Fs) => regs.fs_base(),
            Some(Self::Gs) => regs.gs_base(),
        }
    }
}

/// A general register or a part of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RegPart {
    /// Number of the whole register.
    pub number: u8,
    /// First bit of the part: 0, or 8 for a second byte.
    pub shift: u8,
    /// Bytes of the part.
    pub width: u8,
}

impl RegPart {
    /// The low `width` bytes of a register.
    pub const fn low(number: u8, width: u8) -> Self {
        Self { number, shift: 0, width }
    }

    /// The value of the part.
    pub fn read(&self, regs: &impl GuestRegs) -> u64 {
        regs.gpr(self.number) >> self.shift & width_mask(self.width)
    }

    /// Number and value of the whole register after the part became `value`.
    pub fn merged(&self, regs: &impl GuestRegs, value: u64) -> (u8, u64) {
        let mask = width_mask(self.width);
        let whole = match self.width {
            4 | 8 => value & mask,
            _ => regs.gpr(self.number) & !(mask << self.shift) | (value & mask) << self.shift,
        };
        (self.number, whole)
    }
}
