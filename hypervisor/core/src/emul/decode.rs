//! The parts that all instructions share: prefixes, opcode, ModRM, SIB, displacement, immediate.
//!
//! Used by the front ends `privop` and `store`, which know which opcodes have which parts. An
//! [`Instruction`] is a cursor that stands behind what was read last.
//!
//! Invariant: a result is either what the processor would decode from these bytes, or an error;
//! at most [`MAX_LEN`] bytes are looked at.

use super::operand::{Base, Memory, ModRm, Operand, Segment};

/// Longest instruction the processor accepts.
pub const MAX_LEN: usize = 15;

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
    bytes: &'a [u8],
    position: usize,
    /// Its prefixes.
    pub prefixes: Prefixes,
    /// Its opcode.
    pub opcode: Opcode,
}

impl<'a> Instruction<'a> {
    /// Reads prefixes and opcode.
    ///
    /// # Errors
    /// `Unknown` never comes from here: every byte can be an opcode.
    #[inline]
    pub fn start(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        let prefixes = Prefixes::default();
        let mut instruction = Self { bytes, position: 0, prefixes, opcode: Opcode::One(0) };
        instruction.read_opcode()?;
        Ok(instruction)
    }

    fn read_opcode(&mut self) -> Result<(), DecodeError> {
        loop {
            let byte = self.byte()?;
            let prefixes = &mut self.prefixes;
            match byte {
                0x66 => prefixes.has_operand_size = true,
                0x67 => prefixes.has_address_size = true,
                0xf0 => prefixes.has_lock = true,
                0xf2 => prefixes.repeat = Some(Repeat::Repne),
                0xf3 => prefixes.repeat = Some(Repeat::Rep),
                // Segments without a base in 64-bit mode change nothing, not even an earlier
                // prefix of fs or gs.
                0x26 | 0x2e | 0x36 | 0x3e => {}
                0x64 => prefixes.segment = Some(Segment::Fs),
                0x65 => prefixes.segment = Some(Segment::Gs),
                0x40..=0x4f => {
                    prefixes.rex = Some(byte);
                    continue;
                }
                0x0f => {
                    self.opcode = Opcode::Two(self.byte()?);
                    return Ok(());
                }
                opcode => {
                    self.opcode = Opcode::One(opcode);
                    return Ok(());
                }
            }
            // REX counts only right before the opcode.
            self.prefixes.rex = None;
        }
    }

    /// Bytes read so far.
    #[must_use]
    pub fn len(&self) -> u8 {
        // At most MAX_LEN, see `array`.
        self.position as u8
    }

    /// Whether nothing was read.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.position == 0
    }

    /// Reads one byte.
    ///
    /// # Errors
    /// The bytes end here.
    #[inline]
    pub fn byte(&mut self) -> Result<u8, DecodeError> {
        let [byte] = self.array()?;
        Ok(byte)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let end = self.position + N;
        if end > MAX_LEN {
            return Err(DecodeError::TooLong);
        }
        let part = self.bytes.get(self.position..end).ok_or(DecodeError::Truncated)?;
        self.position = end;
        part.try_into().map_err(|_| DecodeError::Truncated)
    }

    /// Reads an immediate for an operand of `width` bytes, sign-extended; eight-byte operands have
    /// four-byte immediates.
    ///
    /// # Errors
    /// The bytes end here.
    pub fn immediate(&mut self, width: u8) -> Result<u64, DecodeError> {
        Ok(match width {
            1 => i64::from(i8::from_le_bytes(self.array()?)) as u64,
            2 => i64::from(i16::from_le_bytes(self.array()?)) as u64,
            _ => i64::from(i32::from_le_bytes(self.array()?)) as u64,
        })
    }

    /// Reads an address that stands in the instruction itself.
    ///
    /// # Errors
    /// The bytes end here.
    pub fn absolute_address(&mut self) -> Result<u64, DecodeError> {
        if self.prefixes.has_address_size {
            return Ok(u64::from(u32::from_le_bytes(self.array()?)));
        }
        Ok(u64::from_le_bytes(self.array()?))
    }

    /// Reads a ModRM byte that can only name registers, as those of `MOV CR` do: the mode bits
    /// are not looked at. Returns the register and the r/m field.
    ///
    /// # Errors
    /// The bytes end here.
    pub fn register_pair(&mut self) -> Result<(u8, u8), DecodeError> {
        let byte = self.byte()?;
        Ok((self.prefixes.extend(byte >> 3, REX_R), self.prefixes.extend(byte, REX_B)))
    }

    /// Reads a ModRM byte and what it implies.
    ///
    /// # Errors
    /// The bytes end here.
    pub fn modrm(&mut self) -> Result<ModRm, DecodeError> {
        let byte = self.byte()?;
        let (mode, field) = (byte >> 6, byte & 7);
        let reg = self.prefixes.extend(byte >> 3, REX_R);
        let extension = byte >> 3 & 7;
        if mode == 3 {
            let number = self.prefixes.extend(field, REX_B);
            return Ok(ModRm { reg, extension, rm: Operand::Register(number) });
        }
        let (base, index) = match field {
            4 => self.sib(mode)?,
            5 if mode == 0 => (Base::NextRip, None),
            _ => (Base::Register(self.prefixes.extend(field, REX_B)), None),
        };
        let has_long_displacement = mode == 2 || mode == 0 && !matches!(base, Base::Register(_));
        let displacement = match (mode, has_long_displacement) {
            (_, true) => self.immediate(4)?,
            (1, false) => self.immediate(1)?,
            _ => 0,
        };
        let memory = Memory {
            base,
            index,
            displacement,
            segment: self.prefixes.segment,
            is_32_bit: self.prefixes.has_address_size,
        };
        Ok(ModRm { reg, extension, rm: Operand::Memory(memory) })
    }

    /// Base, and index with its shift, of a SIB byte.
    fn sib(&mut self, mode: u8) -> Result<(Base, Option<(u8, u8)>), DecodeError> {
        let byte = self.byte()?;
        let index = self.prefixes.extend(byte >> 3, REX_X);
        let base = match byte & 7 {
            5 if mode == 0 => Base::None,
            field => Base::Register(self.prefixes.extend(field, REX_B)),
        };
        Ok((base, (index != 4).then_some((index, byte >> 6))))
    }
}
