//! What a program may have as flags, and what it means that it trapped.

use pvkernel_core::platform::{UserExit, UserRegs};

use crate::{entry, trap};

/// Flags a program may have: arithmetic, trap, direction, alignment, identification.
const FLAGS: u64 = 0x24_0dd5;
/// Flags it always has: the one that is always set, and interrupts.
const FORCED: u64 = 0x202;

const NOT_AVAILABLE: u64 = 7;
const GENERAL_PROTECTION: u8 = 13;
const PAGE_FAULT: u64 = 14;
/// In the error code of a page fault: it was an access with a program's rights. QEMU makes those of
/// `iretq` with the kernel's, and then SMAP is against them.
const BY_PROGRAM: u32 = 4;

/// A program that did what nobody may.
pub(super) const REFUSED: UserExit = UserExit::Fault { vector: GENERAL_PROTECTION, error: 0 };

/// Makes the flags of a program harmless.
pub(super) const fn tame(regs: &mut UserRegs) {
    regs.rflags = regs.rflags & FLAGS | FORCED;
}

/// What an exception means; `None` if the program used floating point and has no registers for it yet.
pub(super) fn of_exception(vector: u64) -> Option<UserExit> {
    let error = entry::user_error();
    match vector {
        NOT_AVAILABLE => None,
        // The processor's own access for an instruction of the program: no page would help.
        PAGE_FAULT if error & BY_PROGRAM == 0 => Some(REFUSED),
        PAGE_FAULT => Some(UserExit::PageFault {
            address: trap::fault_address(),
            present: error & 1 != 0,
            write: error & 2 != 0,
            execute: error & 16 != 0,
        }),
        _ => Some(UserExit::Fault { vector: vector as u8, error }),
    }
}

/// Tells the compiler that what comes here is less frequent than what does not.
#[cold]
pub(super) const fn seldom() {}
