//! Instructions that store to memory, as far as guests use them on page tables.
//!
//! Called on a write fault of a guest kernel on one of its level 1 tables. The decoder accepts an
//! instruction only if its single effect on memory is a store of 1, 2, 4 or 8 naturally aligned
//! bytes at the faulting address. All register operands are read here; module `apply` computes the
//! result from the old contents.
//!
//! Not accepted: vector registers, shifts, 16-byte compare-exchange, and stores whose source has
//! to be read from memory other than by `MOVS`.
//!
//! Invariant: [`Store::address`] is the faulting address, so a store cannot be redirected to
//! another table entry between the fault and the emulation.

use super::alu::AluOp;
use super::code::Code;
use super::decode::{DecodeError, Instruction, Opcode};
use super::operand::{Base, Memory, ModRm, Operand, RegPart, Segment};
use super::regs::{GuestRegs, RAX, RBX, RCX, RDI, RDX, RSI};
use crate::trap::flags::DF;
use hypercall_abi::addr::GuestVa;

/// What an operation on one bit does to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BitOp {
    /// `BTS`.
    Set,
    /// `BTR`.
    Reset,
    /// `BTC`.
    Complement,
}

/// What is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreKind {
    /// A value that does not depend on the old contents.
    Write {
        /// The value.
        value: u64,
    },
    /// The old contents go to a register.
    Exchange {
        /// The new value.
        value: u64,
        /// Where the old contents go.
        part: RegPart,
    },
    /// The sum; the old contents go to a register.
    ExchangeAdd {
        /// The addend.
        value: u64,
        /// Where the old contents go.
        part: RegPart,
    },
    /// The value, if the old contents are as expected; else the accumulator gets them.
    CompareExchange {
        /// The accumulator.
        expected: u64,
        /// The new value.
        value: u64,
    },
    /// The same with edx:eax as accumulator.
    CompareExchange8 {
        /// The accumulator.
        expected: u64,
        /// The new value, from ecx:ebx.
        value: u64,
    },
    /// The result of an operation of two operands.
    Alu {
        /// The operation.
        op: AluOp,
        /// The second operand.
        value: u64,
    },
    /// One bit changed.
    Bit {
        /// The change.
        op: BitOp,
        /// Number of the bit in the operand.
        bit: u8,
    },
    /// Every bit changed.
    Not,
    /// The negative.
    Neg,
    /// One more.
    Inc,
    /// One less.
    Dec,
}

/// How a string instruction moves on after one element.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StringStep {
    /// What is added to rdi (and rsi).
    pub step: i8,
    /// Whether the source is memory at rsi.
    pub is_move: bool,
    /// Whether rcx counts the elements.
    pub is_repeated: bool,
    /// Whether addresses and count are 32 bits wide.
    pub is_32_bit: bool,
}

impl StringStep {
    /// The bits of addresses and count.
    #[must_use]
    pub fn mask(&self) -> u64 {
        if self.is_32_bit {
            0xffff_ffff
        } else {
            u64::MAX
        }
    }
}

/// A store with all its operands but the old contents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Store {
    /// What is stored.
    pub kind: StoreKind,
    /// Bytes: 1, 2, 4 or 8.
    pub width: u8,
    /// Length of the instruction.
    pub len: u8,
    /// Whether other processors must see old and new contents only.
    pub is_locked: bool,
    /// The faulting address, aligned to the width.
    pub address: GuestVa,
    /// How a string instruction moves on.
    pub string: Option<StringStep>,
}

/// A decoded store, complete or waiting for its source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DecodedStore {
    /// Everything is known.
    Ready(Store),
    /// `MOVS`: the source has to be read from guest memory; a fault there is the guest's.
    NeedsSource(PendingMove),
}

/// A `MOVS` whose source has not been read yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PendingMove {
    /// Address of the source.
    pub source: GuestVa,
    store: Store,
}

impl PendingMove {
    /// Bytes to read.
    #[must_use]
    pub fn width(&self) -> u8 {
        self.store.width
    }

    /// The complete store, once the source is known.
    #[must_use]
    pub fn with_source(&self, value: u64) -> Store {
        Store { kind: StoreKind::Write { value }, ..self.store }
    }
}

/// Why an instruction is not emulated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotStore {
    /// It could not be decoded or is no store.
    Decode(DecodeError),
    /// It stores somewhere else.
    OtherAddress,
    /// The address is not a multiple of the width.
    Misaligned,
}

impl From<DecodeError> for NotStore {
    fn from(error: DecodeError) -> Self {
        Self::Decode(error)
    }
}

/// Decodes the instruction at the start of `code`, which faulted writing to `fault_va`.
///
/// # Errors
/// The guest is to get its page fault.
#[inline]
pub fn decode_store(
    code: &Code,
    regs: &impl GuestRegs,
    fault_va: GuestVa,
) -> Result<DecodedStore, NotStore> {
    let mut instruction = Instruction::start(code);
    let parts = match instruction.opcode {
        Opcode::One(0xa4 | 0xa5 | 0xaa | 0xab) => string_parts(&instruction, regs),
        Opcode::One(opcode) => one_byte(opcode, &mut instruction, regs),
        Opcode::Two(opcode) => two_byte(opcode, &mut instruction, regs),
    };
    let store = match parts {
        Ok(parts) => complete(&parts, &instruction, regs, fault_va),
        Err(error) => Err(error.into()),
    };
    instruction.finish(store)
}

/// Checks lock prefix and address.
#[inline]
fn complete(
    parts: &Parts,
    instruction: &Instruction<'_>,
    regs: &impl GuestRegs,
    fault_va: GuestVa,
) -> Result<DecodedStore, NotStore> {
    let has_lock = instruction.prefixes.has_lock;
    if has_lock && !parts.may_lock {
        return Err(DecodeError::Unknown.into());
    }
    let len = instruction.len();
    let next_rip = regs.rip().wrapping_add(u64::from(len));
    let address = GuestVa::new(parts.target.address(regs, next_rip, parts.extra));
    if address != fault_va {
        return Err(NotStore::OtherAddress);
    }
    if !address.is_aligned(u64::from(parts.width)) {
        return Err(NotStore::Misaligned);
    }
    let is_locked = has_lock || matches!(parts.kind, StoreKind::Exchange { .. });
    let (kind, width, string) = (parts.kind, parts.width, parts.string);
    let store = Store { kind, width, len, is_locked, address, string };
    if !string.is_some_and(|string| string.is_move) {
        return Ok(DecodedStore::Ready(store));
    }
    // Only the source of a string instruction can be in another segment.
    let prefixes = instruction.prefixes;
    let source = at_register(RSI, prefixes.segment, prefixes.has_address_size);
    let source = GuestVa::new(source.address(regs, next_rip, 0));
    Ok(DecodedStore::NeedsSource(PendingMove { source, store }))
}

/// What the opcode tables find out.
struct Parts {
    kind: StoreKind,
    width: u8,
    target: Memory,
    /// Bytes from the operand to what is stored; only bit operations have some.
    extra: u64,
    may_lock: bool,
    string: Option<StringStep>,
}

impl Parts {
    fn new(kind: StoreKind, width: u8, target: Memory) -> Self {
        let may_lock = !matches!(kind, StoreKind::Write { .. });
        Self { kind, width, target, extra: 0, may_lock, string: None }
    }
}

/// The width of opcodes whose lowest bit tells byte operands from larger ones.
fn width_of(opcode: u8, instruction: &Instruction<'_>) -> u8 {
    match opcode & 1 {
        0 => 1,
        _ => instruction.prefixes.operand_width(),
    }
}

fn memory_of(modrm: &ModRm) -> Result<Memory, DecodeError> {
    match modrm.rm {
        Operand::Memory(memory) => Ok(memory),
        Operand::Register(_) => Err(DecodeError::Unknown),
    }
}

fn one_byte(
    opcode: u8,
    instruction: &mut Instruction<'_>,
    regs: &impl GuestRegs,
) -> Result<Parts, DecodeError> {
    let width = width_of(opcode, instruction);
    if opcode == 0xa2 || opcode == 0xa3 {
        return Ok(move_to_absolute(width, instruction, regs));
    }
    let is_alu = opcode < 0x40 && opcode & 6 == 0;
    if !is_alu
        && !matches!(
            opcode,
            0x80 | 0x81 | 0x83 | 0x86..=0x89 | 0xc6 | 0xc7 | 0xf6 | 0xf7 | 0xfe | 0xff
        )
    {
        return Err(DecodeError::Unknown);
    }
    let modrm = instruction.modrm();
    let target = memory_of(&modrm)?;
    let part = RegPart::new(modrm.reg, width, &instruction.prefixes);
    let kind = match opcode {
        0x80 | 0x81 | 0x83 => {
            let op = AluOp::from_number(modrm.extension).ok_or(DecodeError::Unknown)?;
            let immediate_width = if opcode == 0x83 { 1 } else { width };
            StoreKind::Alu { op, value: instruction.immediate(immediate_width) }
        }
        0x86 | 0x87 => StoreKind::Exchange { value: part.read(regs), part },
        0x88 | 0x89 => StoreKind::Write { value: part.read(regs) },
        0xc6 | 0xc7 if modrm.extension == 0 => {
            StoreKind::Write { value: instruction.immediate(width) }
        }
        0xf6 | 0xf7 | 0xfe | 0xff => unary(opcode, modrm.extension)?,
        _ if is_alu => {
            let op = AluOp::from_number(opcode >> 3).ok_or(DecodeError::Unknown)?;
            StoreKind::Alu { op, value: part.read(regs) }
        }
        _ => return Err(DecodeError::Unknown),
    };
    Ok(Parts::new(kind, width, target))
}

fn unary(opcode: u8, extension: u8) -> Result<StoreKind, DecodeError> {
    match (opcode & 0xf8, opcode & 6, extension) {
        (0xf0, 6, 2) => Ok(StoreKind::Not),
        (0xf0, 6, 3) => Ok(StoreKind::Neg),
        (0xf8, 6, 0) => Ok(StoreKind::Inc),
        (0xf8, 6, 1) => Ok(StoreKind::Dec),
        _ => Err(DecodeError::Unknown),
    }
}

/// `MOV` to an address in the instruction.
fn move_to_absolute(width: u8, instruction: &mut Instruction<'_>, regs: &impl GuestRegs) -> Parts {
    let displacement = instruction.absolute_address();
    let target = Memory {
        base: Base::None,
        index: None,
        displacement,
        segment: instruction.prefixes.segment,
        is_32_bit: instruction.prefixes.has_address_size,
    };
    let value = RegPart { number: RAX, shift: 0, width }.read(regs);
    Parts::new(StoreKind::Write { value }, width, target)
}

fn two_byte(
    opcode: u8,
    instruction: &mut Instruction<'_>,
    regs: &impl GuestRegs,
) -> Result<Parts, DecodeError> {
    let is_known =
        matches!(opcode, 0xab | 0xb3 | 0xbb | 0xba | 0xb0 | 0xb1 | 0xc0 | 0xc1 | 0xc3 | 0xc7);
    if !is_known {
        return Err(DecodeError::Unknown);
    }
    let modrm = instruction.modrm();
    let target = memory_of(&modrm)?;
    let full_width = instruction.prefixes.operand_width();
    let width = match opcode {
        0xb0 | 0xc0 => 1,
        _ => full_width,
    };
    let part = RegPart::new(modrm.reg, width, &instruction.prefixes);
    let kind = match opcode {
        0xab | 0xb3 | 0xbb => return Ok(bit_by_register(opcode, part, target, regs)),
        0xba => {
            let op = bit_op(modrm.extension).ok_or(DecodeError::Unknown)?;
            let bit = instruction.byte() & (width * 8 - 1);
            StoreKind::Bit { op, bit }
        }
        0xb0 | 0xb1 => {
            let expected = RegPart { number: RAX, shift: 0, width }.read(regs);
            StoreKind::CompareExchange { expected, value: part.read(regs) }
        }
        0xc0 | 0xc1 => StoreKind::ExchangeAdd { value: part.read(regs), part },
        0xc3 => return move_non_temporal(part, target, instruction, regs),
        _ => return compare_exchange_8(&modrm, target, instruction, regs),
    };
    Ok(Parts::new(kind, width, target))
}

const fn bit_op(extension: u8) -> Option<BitOp> {
    Some(match extension {
        5 => BitOp::Set,
        6 => BitOp::Reset,
        7 => BitOp::Complement,
        _ => return None,
    })
}

/// A bit number in a register is signed and can reach beyond the operand.
fn bit_by_register(opcode: u8, part: RegPart, target: Memory, regs: &impl GuestRegs) -> Parts {
    let width = part.width;
    let bits = u32::from(width) * 8;
    let unused = 64 - bits;
    let number = (part.read(regs) << unused) as i64 >> unused;
    let op = match opcode {
        0xab => BitOp::Set,
        0xb3 => BitOp::Reset,
        _ => BitOp::Complement,
    };
    let bit = (number & i64::from(bits - 1)) as u8;
    let operands = number >> bits.trailing_zeros();
    let extra = operands.wrapping_mul(i64::from(width)) as u64;
    Parts { extra, ..Parts::new(StoreKind::Bit { op, bit }, width, target) }
}

/// `MOVNTI`, which has no byte and no 2-byte form.
fn move_non_temporal(
    part: RegPart,
    target: Memory,
    instruction: &Instruction<'_>,
    regs: &impl GuestRegs,
) -> Result<Parts, DecodeError> {
    let prefixes = instruction.prefixes;
    if prefixes.has_operand_size || prefixes.repeat.is_some() {
        return Err(DecodeError::Unknown);
    }
    Ok(Parts::new(StoreKind::Write { value: part.read(regs) }, part.width, target))
}

/// `CMPXCHG8B`; with REX.W it would be the 16-byte form.
fn compare_exchange_8(
    modrm: &ModRm,
    target: Memory,
    instruction: &Instruction<'_>,
    regs: &impl GuestRegs,
) -> Result<Parts, DecodeError> {
    if modrm.extension != 1 || instruction.prefixes.is_wide() {
        return Err(DecodeError::Unknown);
    }
    let pair = |high, low| regs.gpr(high) << 32 | regs.gpr(low) & 0xffff_ffff;
    let kind = StoreKind::CompareExchange8 { expected: pair(RDX, RAX), value: pair(RCX, RBX) };
    Ok(Parts::new(kind, 8, target))
}

/// One element of `STOS` or `MOVS`. With a repeat prefix and a count of zero nothing is stored, so
/// such an instruction cannot have faulted.
fn string_parts(
    instruction: &Instruction<'_>,
    regs: &impl GuestRegs,
) -> Result<Parts, DecodeError> {
    let Opcode::One(opcode) = instruction.opcode else {
        return Err(DecodeError::Unknown);
    };
    let prefixes = instruction.prefixes;
    let width = width_of(opcode, instruction);
    let step = width as i8;
    let string = StringStep {
        step: if regs.rflags() & DF == 0 { step } else { -step },
        is_move: opcode < 0xaa,
        is_repeated: prefixes.repeat.is_some(),
        is_32_bit: prefixes.has_address_size,
    };
    if string.is_repeated && regs.gpr(RCX) & string.mask() == 0 {
        return Err(DecodeError::Unknown);
    }
    let value = RegPart { number: RAX, shift: 0, width }.read(regs);
    let target = at_register(RDI, None, string.is_32_bit);
    let write = Parts::new(StoreKind::Write { value }, width, target);
    Ok(Parts { string: Some(string), ..write })
}

/// The memory a register points to.
fn at_register(number: u8, segment: Option<Segment>, is_32_bit: bool) -> Memory {
    Memory { base: Base::Register(number), index: None, displacement: 0, segment, is_32_bit }
}
