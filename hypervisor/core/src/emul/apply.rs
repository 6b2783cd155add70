//! The effect of a decoded store on the entry, the registers and the flags.
//!
//! Called with the aligned eight bytes that contain the target, as they were read. The image then
//! validates the new entry and exchanges it against the old one; if the entry changed meanwhile it
//! reads again and calls this function again.
//!
//! Invariant: bytes of the entry outside the store keep their old contents.

use super::alu::{self, width_mask};
use super::operand::RegPart;
use super::regs::{GuestRegs, RAX, RCX, RDI, RDX, RSI};
use super::store::{BitOp, Store, StoreKind};
use crate::trap::flags::{CF, RF, ZF};

/// Most registers that one store changes.
const MAX_REGS: usize = 3;

/// New values of registers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RegWrites {
    writes: [Option<(u8, u64)>; MAX_REGS],
}

impl RegWrites {
    fn push(&mut self, number: u8, value: u64) {
        if let Some(slot) = self.writes.iter_mut().find(|slot| slot.is_none()) {
            *slot = Some((number, value));
        }
    }

    /// Number and new value of each changed register.
    pub fn iter(&self) -> impl Iterator<Item = (u8, u64)> + '_ {
        self.writes.iter().flatten().copied()
    }
}

/// What a store does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// New contents of the eight bytes; the old ones if the store did not happen.
    pub entry: u64,
    /// Whether the instruction writes; a failed comparison does not.
    pub is_written: bool,
    /// New values of general registers.
    pub regs: RegWrites,
    /// New flags.
    pub rflags: u64,
    /// New instruction pointer.
    pub rip: u64,
}

/// Applies a store to the eight bytes around its target.
#[inline]
#[must_use]
pub fn apply(store: &Store, old_entry: u64, regs: &impl GuestRegs) -> Outcome {
    let width = store.width;
    let mask = width_mask(width);
    let shift = (store.address.get() & 7) * 8;
    let old = old_entry >> shift & mask;
    let rflags = regs.rflags() & !RF;

    let mut outcome = Outcome {
        entry: old_entry,
        is_written: true,
        regs: RegWrites::default(),
        rflags,
        rip: regs.rip().wrapping_add(u64::from(store.len)),
    };
    let (new, flags) = match store.kind {
        StoreKind::Write { value } => (value, rflags),
        StoreKind::Exchange { value, part } => {
            outcome.regs.push(part.number, part.merged(regs, old));
            (value, rflags)
        }
        StoreKind::ExchangeAdd { value, part } => {
            outcome.regs.push(part.number, part.merged(regs, old));
            alu::binary(alu::AluOp::Add, old, value, rflags, width)
        }
        StoreKind::CompareExchange { expected, value } => {
            let (_, flags) = alu::binary(alu::AluOp::Sub, expected, old, rflags, width);
            outcome.is_written = old == expected;
            if !outcome.is_written {
                let part = RegPart { number: RAX, shift: 0, width };
                outcome.regs.push(RAX, part.merged(regs, old));
            }
            (value, flags)
        }
        StoreKind::CompareExchange8 { expected, value } => {
            outcome.is_written = old == expected;
            if !outcome.is_written {
                outcome.regs.push(RAX, old & 0xffff_ffff);
                outcome.regs.push(RDX, old >> 32);
            }
            let zero = if outcome.is_written { ZF } else { 0 };
            (value, rflags & !ZF | zero)
        }
        StoreKind::Alu { op, value } => alu::binary(op, old, value, rflags, width),
        StoreKind::Bit { op, bit } => {
            let carry = old >> bit & CF;
            (change_bit(op, old, bit), rflags & !CF | carry)
        }
        StoreKind::Not => (!old, rflags),
        StoreKind::Neg => alu::negate(old, rflags, width),
        StoreKind::Inc => alu::step(old, true, rflags, width),
        StoreKind::Dec => alu::step(old, false, rflags, width),
    };
    outcome.rflags = flags;
    if outcome.is_written {
        outcome.entry = old_entry & !(mask << shift) | (new & mask) << shift;
    }
    step_string(store, regs, &mut outcome);
    outcome
}

const fn change_bit(op: BitOp, old: u64, bit: u8) -> u64 {
    let one = 1 << bit;
    match op {
        BitOp::Set => old | one,
        BitOp::Reset => old & !one,
        BitOp::Complement => old ^ one,
    }
}

fn step_string(store: &Store, regs: &impl GuestRegs, outcome: &mut Outcome) {
    let Some(string) = store.string else { return };
    let mask = string.mask();
    let step = i64::from(string.step) as u64;
    outcome.regs.push(RDI, regs.gpr(RDI).wrapping_add(step) & mask);
    if string.is_move {
        outcome.regs.push(RSI, regs.gpr(RSI).wrapping_add(step) & mask);
    }
    if string.is_repeated {
        let count = (regs.gpr(RCX) & mask).saturating_sub(1);
        outcome.regs.push(RCX, count);
        if count != 0 {
            outcome.rip = regs.rip();
        }
    }
}
