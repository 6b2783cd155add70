//! The effect of a decoded store on the entry, the registers and the flags.
//!
//! Called with the aligned eight bytes that contain the target, as they were read. The image then
//! validates the new entry and exchanges it against the old one; if the entry changed meanwhile it
//! reads again and calls this function again.
//!
//! Invariant: bytes of the entry outside the store keep their old contents.

use super::alu::{self, width_mask, Op};
use super::regs::{GuestRegs, RegPart, RAX, RCX, RDI, RDX, RSI};
use super::store::{OldContents, Store, StringStep};
use crate::trap::flags::{RF, ZF};

/// Numbers and new values of the registers that a store changes.
pub type RegWrites = [Option<(u8, u64)>; 3];

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
#[must_use]
pub fn apply(store: &Store, old_entry: u64, regs: &impl GuestRegs) -> Outcome {
    let Store { op, value, width, .. } = *store;
    let mask = width_mask(width);
    let shift = (store.address.get() & 7) * 8;
    let old = old_entry >> shift & mask;
    let (new, rflags) = alu::execute(op, old, value, regs.rflags() & !RF, width);
    let mut outcome = Outcome {
        entry: old_entry & !(mask << shift) | new << shift,
        is_written: true,
        regs: [None; 3],
        rflags,
        rip: regs.rip().wrapping_add(u64::from(store.len)),
    };
    match store.old {
        OldContents::Dropped => {}
        OldContents::To(part) => outcome.regs = [Some(part.merged(regs, old)), None, None],
        OldContents::Compared(expected) => {
            outcome.rflags = alu::execute(Op::Sub, expected, old, rflags, width).1;
            if old != expected {
                let accumulator = RegPart::low(RAX, width).merged(regs, old);
                outcome.fail(old_entry, [Some(accumulator), None, None]);
            }
        }
        OldContents::ComparedPair(expected) => {
            outcome.rflags = rflags | ZF;
            if old != expected {
                outcome.rflags &= !ZF;
                let (low, high) = ((RAX, old & 0xffff_ffff), (RDX, old >> 32));
                outcome.fail(old_entry, [Some(low), Some(high), None]);
            }
        }
    }
    if let Some(string) = &store.string {
        outcome.move_on(string, regs);
    }
    outcome
}

impl Outcome {
    /// A comparison failed: registers change instead of the entry.
    fn fail(&mut self, old_entry: u64, regs: RegWrites) {
        (self.is_written, self.entry, self.regs) = (false, old_entry, regs);
    }

    /// One element of a string instruction is done; it is repeated while there are more.
    fn move_on(&mut self, string: &StringStep, regs: &impl GuestRegs) {
        let moved = |number| (number, regs.gpr(number).wrapping_add(string.step) & string.mask);
        let count = (regs.gpr(RCX) & string.mask).saturating_sub(1);
        self.regs = [
            Some(moved(RDI)),
            string.is_move.then(|| moved(RSI)),
            string.is_repeated.then_some((RCX, count)),
        ];
        if string.is_repeated && count != 0 {
            self.rip = regs.rip();
        }
    }
}
