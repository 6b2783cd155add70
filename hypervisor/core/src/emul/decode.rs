//! The parts that all instructions share: prefixes, opcode, ModRM, SIB, displacement, immediate.
//!
//! Used by the front ends `privop` and `store`, which know which opcodes have which parts. An
//! [`Instruction`] is a cursor that stands behind what was read last.
//!
//! Invariant: what comes out of [`Instruction::finish`] is either what the processor would decode
//! from the fetched bytes, or an error.

use super::code::{Code, MAX_LEN};
use super::operand::{Base, Memory, ModRm, Operand, Segment};

/// Bit of a REX prefix: 64-bit operand.
const REX_W: u8 = 8;
/// Bit of a REX prefix: high bit of the register field.
const REX_R: u8 = 4;
/// Bit of a REX prefix: high bit of the index field.
const REX_X: u8 = 2;
/// Bit of a REX prefix: high bit of the base field.
const REX_B: u8 = 1;

/// Why bytes could not be decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DecodeError {
    /// The instruction continues behind the given bytes.
    Truncated,
    /// The instruction is longer than the processor allows.
    TooLong,
    /// Not an instruction that is emulated.
    Unknown,
}

/// A repeat prefix; the last one of several counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Repeat {
    /// `F3`.
    Rep,
    /// `F2`.
    Repne,
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
    pub repeat: Option<Repeat>,
    /// A segment with a base.
    pub segment: Option<Segment>,
    /// The REX prefix, if it stood right before the opcode.
    pub rex: Option<u8>,
}

impl Prefixes {
    fn has_rex(&self, bit: u8) -> bool {
        self.rex.is_some_and(|rex| rex & bit != 0)
    }

    /// Whether REX.W makes operands 8 bytes wide.
    #[must_use]
    pub fn is_wide(&self) -> bool {
        self.has_rex(REX_W)
    }

    /// Bytes of an operand that is not a single byte: 2, 4 or 8.
    #[must_use]
    pub fn operand_width(&self) -> u8 {
        match (self.is_wide(), self.has_operand_size) {
            (true, _) => 8,
            (false, true) => 2,
            (false, false) => 4,
        }
    }

    fn extend(&self, field: u8, rex_bit: u8) -> u8 {
        field & 7 | if self.has_rex(rex_bit) { 8 } else { 0 }
    }
}

/// The opcode: its last byte, and whether `0F` stood before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opcode {
    /// One byte.
    One(u8),
    /// `0F` and one byte.
    Two(u8),
}

/// A partly decoded instruction.
#[derive(Clone, Copy, Debug)]
pub struct Instruction<'a> {
    code: &'a Code,
    position: usize,
    /// Its prefixes.
    pub prefixes: Prefixes,
    /// Its opcode.
    pub opcode: Opcode,
}

impl<'a> Instruction<'a> {
    /// Reads prefixes and opcode.
    #[inline]
    #[must_use]
    pub fn start(code: &'a Code) -> Self {
        let prefixes = Prefixes::default();
        let mut instruction = Self { code, position: 0, prefixes, opcode: Opcode::One(0) };
        instruction.read_opcode();
        instruction
    }

    #[inline]
    fn read_opcode(&mut self) {
        while self.position < MAX_LEN {
            let byte = self.byte();
            if self.take_prefix(byte) {
                continue;
            }
            self.opcode = match byte {
                0x0f => Opcode::Two(self.byte()),
                opcode => Opcode::One(opcode),
            };
            return;
        }
        // Prefixes up to the longest length: one more byte makes the instruction too long.
        self.position += 1;
    }

    /// Whether a byte is a prefix, which is then noted.
    #[inline]
    fn take_prefix(&mut self, byte: u8) -> bool {
        let prefixes = &mut self.prefixes;
        if byte & 0xf0 == 0x40 {
            prefixes.rex = Some(byte);
            return true;
        }
        match byte {
            0x66 => prefixes.has_operand_size = true,
            0x67 => prefixes.has_address_size = true,
            0xf0 => prefixes.has_lock = true,
            0xf2 => prefixes.repeat = Some(Repeat::Repne),
            0xf3 => prefixes.repeat = Some(Repeat::Rep),
            // Segments without a base in 64-bit mode change nothing, not even an earlier prefix
            // of fs or gs.
            0x26 | 0x2e | 0x36 | 0x3e => {}
            0x64 => prefixes.segment = Some(Segment::Fs),
            0x65 => prefixes.segment = Some(Segment::Gs),
            _ => return false,
        }
        // REX counts only right before the opcode.
        prefixes.rex = None;
        true
    }

    /// Bytes read so far.
    #[inline]
    #[must_use]
    pub fn len(&self) -> u8 {
        // An instruction with all its parts is shorter than 64 bytes.
        self.position as u8
    }

    /// Whether nothing was read.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.position == 0
    }

    /// The final check: whether all bytes that were read had been fetched. Every result of a
    /// decoder, good or bad, goes through here, because until then it may come from bytes that do
    /// not exist.
    ///
    /// # Errors
    /// `Truncated` or `TooLong` instead of the result.
    #[inline]
    pub fn finish<T, E: From<DecodeError>>(&self, result: Result<T, E>) -> Result<T, E> {
        if self.position <= self.code.fetched() {
            return result;
        }
        Err(match self.position > MAX_LEN && self.code.fetched() == MAX_LEN {
            true => DecodeError::TooLong.into(),
            false => DecodeError::Truncated.into(),
        })
    }

    /// Reads one byte.
    #[inline]
    pub fn byte(&mut self) -> u8 {
        let byte = self.code.at(self.position);
        self.position += 1;
        byte
    }

    #[inline]
    fn array<const N: usize>(&mut self) -> [u8; N] {
        core::array::from_fn(|_| self.byte())
    }

    /// Reads an immediate for an operand of `width` bytes, sign-extended; eight-byte operands have
    /// four-byte immediates.
    #[inline]
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

    /// Reads a ModRM byte and what it implies.
    #[inline]
    pub fn modrm(&mut self) -> ModRm {
        let byte = self.byte();
        let (mode, field) = (byte >> 6, byte & 7);
        let reg = self.prefixes.extend(byte >> 3, REX_R);
        let extension = byte >> 3 & 7;
        if mode == 3 {
            let number = self.prefixes.extend(field, REX_B);
            return ModRm { reg, extension, rm: Operand::Register(number) };
        }
        let (base, index) = match field {
            4 => self.sib(mode),
            5 if mode == 0 => (Base::NextRip, None),
            _ => (Base::Register(self.prefixes.extend(field, REX_B)), None),
        };
        let has_long_displacement = mode == 2 || mode == 0 && !matches!(base, Base::Register(_));
        let displacement = match (mode, has_long_displacement) {
            (_, true) => self.immediate(4),
            (1, false) => self.immediate(1),
            _ => 0,
        };
        let memory = Memory {
            base,
            index,
            displacement,
            segment: self.prefixes.segment,
            is_32_bit: self.prefixes.has_address_size,
        };
        ModRm { reg, extension, rm: Operand::Memory(memory) }
    }

    /// Base, and index with its shift, of a SIB byte.
    fn sib(&mut self, mode: u8) -> (Base, Option<(u8, u8)>) {
        let byte = self.byte();
        let index = self.prefixes.extend(byte >> 3, REX_X);
        let base = match byte & 7 {
            5 if mode == 0 => Base::None,
            field => Base::Register(self.prefixes.extend(field, REX_B)),
        };
        (base, (index != 4).then_some((index, byte >> 6)))
    }
}
