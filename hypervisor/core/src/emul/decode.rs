//! The parts that all instructions share: prefixes, opcode, ModRM, SIB, displacement, immediate.
//!
//! Used by the front ends `privop` and `store`, which know which opcodes have which parts. An
//! [`Instruction`] is a cursor that stands behind what was read last.
//!
//! Invariant: what comes out of [`Instruction::finish`] is either what the processor would decode
//! from the fetched bytes, or an error.

use super::code::{Code, MAX_LEN};
use super::regs::{GuestRegs, RegPart, Segment};

/// Bit of a REX prefix: 64-bit operand.
const REX_W: u8 = 8;
/// Bit of a REX prefix: high bit of the register field.
const REX_R: u8 = 4;
/// Bit of a REX prefix: high bit of the index field.
const REX_X: u8 = 2;
/// Bit of a REX prefix: high bit of the base field.
const REX_B: u8 = 1;

/// Why an instruction is not emulated; the guest gets the fault it took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DecodeError {
    /// It continues behind the given bytes, or is longer than the processor allows.
    Truncated,
    /// Not an instruction that is emulated.
    Unknown,
    /// A store to another place than the one that faulted.
    OtherAddress,
    /// A store to an address that is not a multiple of its width.
    Misaligned,
    /// A store whose source in memory cannot be read.
    NoSource,
}

/// The prefixes of an instruction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Prefixes {
    /// `66`: 16-bit operands unless REX.W is set.
    pub has_operand_size: bool,
    /// `67`: 32-bit addresses.
    pub has_address_size: bool,
    /// `F0`.
    pub has_lock: bool,
    /// `F2` or `F3`.
    pub has_repeat: bool,
    /// A segment with a base.
    pub segment: Option<Segment>,
    /// The REX prefix, if it stood right before the opcode, else 0.
    pub rex: u8,
}

impl Prefixes {
    /// Takes note of a byte if it is a prefix, and returns whether it is.
    fn take(&mut self, byte: u8) -> bool {
        match byte {
            0x40..=0x4f => {
                self.rex = byte;
                return true;
            }
            0x66 => self.has_operand_size = true,
            0x67 => self.has_address_size = true,
            0xf0 => self.has_lock = true,
            0xf2 | 0xf3 => self.has_repeat = true,
            // Segments without a base in 64-bit mode change nothing, not even an earlier prefix
            // of fs or gs.
            0x26 | 0x2e | 0x36 | 0x3e => {}
            0x64 => self.segment = Some(Segment::Fs),
            0x65 => self.segment = Some(Segment::Gs),
            _ => return false,
        }
        // REX counts only right before the opcode.
        self.rex = 0;
        true
    }

    /// Whether REX.W makes operands 8 bytes wide.
    pub fn is_wide(&self) -> bool {
        self.rex & REX_W != 0
    }

    /// Bytes of an operand that is not a single byte: 2, 4 or 8.
    pub fn operand_width(&self) -> u8 {
        match (self.is_wide(), self.has_operand_size) {
            (true, _) => 8,
            (false, true) => 2,
            (false, false) => 4,
        }
    }

    /// The bits of an address, and of the count of a string instruction.
    pub fn address_mask(&self) -> u64 {
        u64::MAX >> if self.has_address_size { 32 } else { 0 }
    }

    /// A register number: a field of three bits, with the bit of REX that belongs to it.
    fn extend(&self, field: u8, rex_bit: u8) -> u8 {
        field & 7 | u8::from(self.rex & rex_bit != 0) << 3
    }

    /// The part of a register that a number means. Without REX the byte registers 4 to 7 are the
    /// second bytes of registers 0 to 3.
    pub fn part(&self, number: u8, width: u8) -> RegPart {
        if width == 1 && self.rex == 0 && (4..8).contains(&number) {
            return RegPart { number: number - 4, shift: 8, width };
        }
        RegPart::low(number, width)
    }
}

/// A memory operand in a ModRM byte, and what else the byte says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ModRm {
    /// The register field with its REX bit.
    pub reg: u8,
    /// The register field without it, where it extends the opcode.
    pub extension: u8,
    /// Sum of base, index and displacement.
    pub offset: u64,
    /// Whether the address of the next instruction has to be added.
    pub is_rip_relative: bool,
}

/// A partly decoded instruction.
#[derive(Clone, Copy, Debug)]
pub struct Instruction<'a, R> {
    code: &'a Code,
    position: usize,
    /// The registers of the guest.
    pub regs: &'a R,
    /// Its prefixes.
    pub prefixes: Prefixes,
    /// Its opcode: one byte, or 0x0f00 and the byte behind `0F`.
    pub opcode: u16,
}

impl<'a, R: GuestRegs> Instruction<'a, R> {
    /// Reads prefixes and opcode.
    pub fn start(code: &'a Code, regs: &'a R) -> Self {
        let prefixes = Prefixes::default();
        let mut instruction = Self { code, position: 0, regs, prefixes, opcode: 0 };
        // An instruction of prefixes only ends here, too: it is as good as truncated.
        while instruction.position <= MAX_LEN {
            let byte = instruction.byte();
            if !instruction.prefixes.take(byte) {
                instruction.opcode = match byte {
                    0x0f => 0x0f00 | u16::from(instruction.byte()),
                    opcode => u16::from(opcode),
                };
                break;
            }
        }
        instruction
    }

    /// Bytes read so far.
    pub fn position(&self) -> u8 {
        // An instruction with all its parts is shorter than 64 bytes.
        self.position as u8
    }

    /// The final check: whether all bytes that were read had been fetched. Every result of a
    /// decoder, good or bad, goes through here, because until then it may come from bytes that do
    /// not exist.
    ///
    /// # Errors
    /// `Truncated` instead of the result.
    pub fn finish<T>(&self, result: Result<T, DecodeError>) -> Result<T, DecodeError> {
        match self.position <= self.code.fetched() {
            true => result,
            false => Err(DecodeError::Truncated),
        }
    }

    /// Reads one byte.
    pub fn byte(&mut self) -> u8 {
        let byte = self.code.at(self.position);
        self.position += 1;
        byte
    }

    fn array<const N: usize>(&mut self) -> [u8; N] {
        core::array::from_fn(|_| self.byte())
    }

    /// Reads an immediate for an operand of `width` bytes, sign-extended; eight-byte operands have
    /// four-byte immediates.
    pub fn immediate(&mut self, width: u8) -> u64 {
        match width {
            1 => i64::from(i8::from_le_bytes(self.array())) as u64,
            2 => i64::from(i16::from_le_bytes(self.array())) as u64,
            _ => i64::from(i32::from_le_bytes(self.array())) as u64,
        }
    }

    /// Reads an address that stands in the instruction itself.
    pub fn absolute_address(&mut self) -> u64 {
        if self.prefixes.has_address_size {
            return u64::from(u32::from_le_bytes(self.array()));
        }
        u64::from_le_bytes(self.array())
    }

    /// Reads a ModRM byte that can only name registers, as those of `MOV CR` do: the mode bits
    /// are not looked at. Returns the register and the r/m field.
    pub fn register_pair(&mut self) -> (u8, u8) {
        let byte = self.byte();
        (self.prefixes.extend(byte >> 3, REX_R), self.prefixes.extend(byte, REX_B))
    }

    /// Reads a ModRM byte with a memory operand, the SIB byte and the displacement.
    ///
    /// # Errors
    /// `Unknown` if the operand is a register.
    pub fn modrm(&mut self) -> Result<ModRm, DecodeError> {
        let byte = self.byte();
        let (mode, mut base) = (byte >> 6, byte & 7);
        if mode == 3 {
            return Err(DecodeError::Unknown);
        }
        let mut offset = 0_u64;
        let has_sib = base == 4;
        if has_sib {
            let sib = self.byte();
            let index = self.prefixes.extend(sib >> 3, REX_X);
            // Number 4 (rsp) means no index.
            if index != 4 {
                offset = self.regs.gpr(index) << (sib >> 6);
            }
            base = sib & 7;
        }
        // In mode 0, number 5 means a displacement instead of a base.
        let has_base = mode != 0 || base != 5;
        if has_base {
            offset = offset.wrapping_add(self.regs.gpr(self.prefixes.extend(base, REX_B)));
        }
        let displacement = match mode {
            1 => self.immediate(1),
            0 if has_base => 0,
            _ => self.immediate(4),
        };
        Ok(ModRm {
            reg: self.prefixes.extend(byte >> 3, REX_R),
            extension: byte >> 3 & 7,
            offset: offset.wrapping_add(displacement),
            is_rip_relative: !has_base && !has_sib,
        })
    }

    /// The linear address of an offset in a segment.
    pub fn linear(&self, segment: Option<Segment>, offset: u64) -> u64 {
        let base = Segment::base_of(segment, self.regs);
        base.wrapping_add(offset & self.prefixes.address_mask())
    }
}
