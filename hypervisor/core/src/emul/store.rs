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

use super::alu::Op;
use super::code::Code;
use super::decode::{DecodeError, Instruction, ModRm};
use super::regs::{GuestRegs, RegPart, RAX, RBX, RCX, RDI, RDX, RSI};
use crate::trap::flags::DF;
use hypercall_abi::addr::GuestVa;

/// What else the old contents are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OldContents {
    /// Nothing.
    Dropped,
    /// They go to a register.
    To(RegPart),
    /// The store happens if they are this, the accumulator; else the accumulator gets them.
    Compared(u64),
    /// The same with edx:eax as accumulator.
    ComparedPair(u64),
}

/// How a string instruction moves on after one element.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StringStep {
    /// What is added to rdi (and rsi).
    pub step: u64,
    /// Whether the source is memory at rsi.
    pub is_move: bool,
    /// Whether rcx counts the elements.
    pub is_repeated: bool,
    /// The bits of addresses and count.
    pub mask: u64,
}

/// A store with all its operands but the old contents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Store {
    /// What is computed.
    pub op: Op,
    /// From which value.
    pub value: u64,
    /// What else the old contents are for.
    pub old: OldContents,
    /// Bytes: 1, 2, 4 or 8.
    pub width: u8,
    /// Length of the instruction.
    pub len: u8,
    /// The faulting address, aligned to the width.
    pub address: GuestVa,
    /// How a string instruction moves on.
    pub string: Option<StringStep>,
}

/// Decodes the instruction at the start of `code`, which faulted writing to `fault_va`. Only a
/// `MOVS` needs `read`, which reads as many bytes of guest memory.
///
/// # Errors
/// The guest is to get its page fault.
pub fn decode_store(
    code: &Code,
    regs: &impl GuestRegs,
    fault_va: GuestVa,
    read: impl FnOnce(GuestVa, u8) -> Option<u64>,
) -> Result<Store, DecodeError> {
    let mut instruction = Instruction::start(code, regs);
    let store =
        decode_opcode(&mut instruction).and_then(|store| check(store, &instruction, fault_va));
    let mut store = instruction.finish(store)?;
    if store.string.is_some_and(|string| string.is_move) {
        // Only the source of a string instruction can be in another segment.
        let source = instruction.linear(instruction.prefixes.segment, regs.gpr(RSI));
        store.value = read(GuestVa::new(source), store.width).ok_or(DecodeError::NoSource)?;
    }
    Ok(store)
}

/// Checks lock prefix and address.
fn check<R: GuestRegs>(
    store: Store,
    instruction: &Instruction<'_, R>,
    fault_va: GuestVa,
) -> Result<Store, DecodeError> {
    let may_lock = store.op != Op::Write || store.old != OldContents::Dropped;
    match store.address {
        _ if instruction.prefixes.has_lock && !may_lock => Err(DecodeError::Unknown),
        address if address != fault_va => Err(DecodeError::OtherAddress),
        address if !address.is_aligned(u64::from(store.width)) => Err(DecodeError::Misaligned),
        _ => Ok(store),
    }
}

/// Finds out what is stored where.
fn decode_opcode<R: GuestRegs>(instruction: &mut Instruction<'_, R>) -> Result<Store, DecodeError> {
    let (prefixes, regs) = (instruction.prefixes, instruction.regs);
    // The lowest bit of most opcodes tells byte operands from larger ones.
    let width = match instruction.opcode {
        0x0fc7 => 8,
        opcode if opcode & 1 == 0 && opcode != 0x0fba => 1,
        _ => prefixes.operand_width(),
    };
    // What MOV to an absolute address, STOS and (until its source is read) MOVS store.
    let accumulator = || (Op::Write, RegPart::low(RAX, width).read(regs), OldContents::Dropped);
    let mut segment = prefixes.segment;
    let mut string = None;
    let (offset, action) = match instruction.opcode {
        0xa2 | 0xa3 => (instruction.absolute_address(), accumulator()),
        0xa4 | 0xa5 | 0xaa | 0xab => {
            segment = None;
            string = Some(string_step(instruction, width)?);
            (regs.gpr(RDI), accumulator())
        }
        _ => {
            let modrm = instruction.modrm()?;
            let action = decode_action(instruction, &modrm, width)?;
            let next_rip = regs.rip().wrapping_add(u64::from(instruction.position()));
            let base = if modrm.is_rip_relative { next_rip } else { 0 };
            (modrm.offset.wrapping_add(base), action)
        }
    };
    let (op, number, old) = action;
    let (offset, value) = match op {
        Op::Bts | Op::Btr | Op::Btc => bit_of_operand(offset, number, width),
        _ => (offset, number),
    };
    let address = GuestVa::new(instruction.linear(segment, offset));
    Ok(Store { op, value, old, width, len: instruction.position(), address, string })
}

/// A bit number is signed and can reach beyond the operand: finds the operand it is in, and its
/// number there.
fn bit_of_operand(offset: u64, number: u64, width: u8) -> (u64, u64) {
    let bits = i64::from(width) * 8;
    let operand = (number as i64).div_euclid(bits).wrapping_mul(i64::from(width));
    (offset.wrapping_add(operand as u64), number & (bits as u64 - 1))
}

/// Operation, value and use of the old contents of an instruction with a ModRM byte.
fn decode_action<R: GuestRegs>(
    instruction: &mut Instruction<'_, R>,
    modrm: &ModRm,
    width: u8,
) -> Result<(Op, u64, OldContents), DecodeError> {
    use OldContents::{Compared, ComparedPair, Dropped, To};
    let (prefixes, regs) = (instruction.prefixes, instruction.regs);
    let part = prefixes.part(modrm.reg, width);
    let value = part.read(regs);
    let unused = 64 - 8 * u32::from(width);
    let signed = || ((value << unused) as i64 >> unused) as u64;
    let pair = |high, low| regs.gpr(high) << 32 | regs.gpr(low) & 0xffff_ffff;
    let numbered = |number: u16| {
        let op = Op::NUMBERED.get(usize::from(number)).copied();
        op.ok_or(DecodeError::Unknown)
    };
    Ok(match (instruction.opcode, modrm.extension) {
        (0x80 | 0x81, n) => (numbered(n.into())?, instruction.immediate(width), Dropped),
        (0x83, n) => (numbered(n.into())?, instruction.immediate(1), Dropped),
        (0x86 | 0x87, _) => (Op::Write, value, To(part)),
        (0x88 | 0x89, _) => (Op::Write, value, Dropped),
        (0xc6 | 0xc7, 0) => (Op::Write, instruction.immediate(width), Dropped),
        (0xf6 | 0xf7, 2) => (Op::Not, 0, Dropped),
        (0xf6 | 0xf7, 3) => (Op::Neg, 0, Dropped),
        (0xfe | 0xff, 0) => (Op::Inc, 0, Dropped),
        (0xfe | 0xff, 1) => (Op::Dec, 0, Dropped),
        (opcode @ ..=0x3f, _) if opcode & 6 == 0 => (numbered(opcode >> 3)?, value, Dropped),
        (0x0fab, _) => (Op::Bts, signed(), Dropped),
        (0x0fb3, _) => (Op::Btr, signed(), Dropped),
        (0x0fbb, _) => (Op::Btc, signed(), Dropped),
        (0x0fba, n @ 5..=7) => {
            let op = [Op::Bts, Op::Btr, Op::Btc][usize::from(n - 5)];
            (op, u64::from(instruction.byte() & (width * 8 - 1)), Dropped)
        }
        (0x0fb0 | 0x0fb1, _) => (Op::Write, value, Compared(RegPart::low(RAX, width).read(regs))),
        (0x0fc0 | 0x0fc1, _) => (Op::Add, value, To(part)),
        // MOVNTI has no byte and no 2-byte form.
        (0x0fc3, _) if !prefixes.has_operand_size && !prefixes.has_repeat => {
            (Op::Write, value, Dropped)
        }
        // CMPXCHG8B; with REX.W it would be the 16-byte form.
        (0x0fc7, 1) if !prefixes.is_wide() => {
            (Op::Write, pair(RCX, RBX), ComparedPair(pair(RDX, RAX)))
        }
        _ => return Err(DecodeError::Unknown),
    })
}

/// How `STOS` or `MOVS` moves on. With a repeat prefix and a count of zero nothing is stored, so
/// such an instruction cannot have faulted.
fn string_step<R: GuestRegs>(
    instruction: &Instruction<'_, R>,
    width: u8,
) -> Result<StringStep, DecodeError> {
    let (prefixes, regs) = (instruction.prefixes, instruction.regs);
    let mask = prefixes.address_mask();
    if prefixes.has_repeat && regs.gpr(RCX) & mask == 0 {
        return Err(DecodeError::Unknown);
    }
    let up = u64::from(width);
    Ok(StringStep {
        step: if regs.rflags() & DF == 0 { up } else { up.wrapping_neg() },
        is_move: instruction.opcode < 0xaa,
        is_repeated: prefixes.has_repeat,
        mask,
    })
}
