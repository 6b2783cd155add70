//! Operands: memory addresses and (parts of) general registers.
//!
//! Used by the decoders. Register parts follow the rules of the processor: a 4-byte result clears
//! the upper half, smaller ones leave the rest alone, and without REX the byte registers 4 to 7
//! are the second bytes of registers 0 to 3.

use super::alu::width_mask;
use super::decode::Prefixes;
use super::regs::GuestRegs;

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
    #[must_use]
    pub fn base_of(segment: Option<Self>, regs: &impl GuestRegs) -> u64 {
        match segment {
            None => 0,
            Some(Self::Fs) => regs.fs_base(),
            Some(Self::Gs) => regs.gs_base(),
        }
    }
}

/// What an address starts from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Base {
    /// Nothing.
    None,
    /// A general register.
    Register(u8),
    /// The address of the next instruction.
    NextRip,
}

/// A memory operand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Memory {
    /// What the address starts from.
    pub base: Base,
    /// An index register and the number of bits it is shifted by.
    pub index: Option<(u8, u8)>,
    /// A sign-extended number to add.
    pub displacement: u64,
    /// A segment with a base.
    pub segment: Option<Segment>,
    /// Whether the address is computed modulo 2^32.
    pub is_32_bit: bool,
}

impl Memory {
    /// The linear address `extra` bytes behind the operand. `next_rip` is the address of the next
    /// instruction.
    #[must_use]
    pub fn address(&self, regs: &impl GuestRegs, next_rip: u64, extra: u64) -> u64 {
        let base = match self.base {
            Base::None => 0,
            Base::Register(number) => regs.gpr(number),
            Base::NextRip => next_rip,
        };
        let index = self.index.map_or(0, |(number, shift)| regs.gpr(number) << shift);
        let sum = base.wrapping_add(index).wrapping_add(self.displacement).wrapping_add(extra);
        let offset = if self.is_32_bit { sum & 0xffff_ffff } else { sum };
        offset.wrapping_add(Segment::base_of(self.segment, regs))
    }
}

/// The r/m operand of an instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operand {
    /// A general register.
    Register(u8),
    /// Memory.
    Memory(Memory),
}

/// A decoded ModRM byte with everything that belongs to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ModRm {
    /// The register field with its REX bit.
    pub reg: u8,
    /// The register field without it, where it extends the opcode.
    pub extension: u8,
    /// The other operand.
    pub rm: Operand,
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
    /// The part an encoded register number means in an instruction with these prefixes.
    #[must_use]
    pub fn new(number: u8, width: u8, prefixes: &Prefixes) -> Self {
        if width == 1 && prefixes.rex.is_none() && (4..8).contains(&number) {
            return Self { number: number - 4, shift: 8, width };
        }
        Self { number, shift: 0, width }
    }

    /// The value of the part.
    #[must_use]
    pub fn read(&self, regs: &impl GuestRegs) -> u64 {
        regs.gpr(self.number) >> self.shift & width_mask(self.width)
    }

    /// The value of the whole register after the part became `value`.
    #[must_use]
    pub fn merged(&self, regs: &impl GuestRegs, value: u64) -> u64 {
        let mask = width_mask(self.width);
        match self.width {
            8 => value,
            4 => value & mask,
            _ => {
                let old = regs.gpr(self.number) & !(mask << self.shift);
                old | (value & mask) << self.shift
            }
        }
    }
}
