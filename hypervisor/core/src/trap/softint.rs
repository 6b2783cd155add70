//! Software interrupts: `INT n` of a guest.
//!
//! Every gate of the real table has privilege 0, so `INT n` in ring 3 ends in a general protection
//! fault whose error code names a gate. The image then asks here what the guest's own table says.
//! Vector 0x80 has an entry of its own in the image, which may use the same answer.
//!
//! Invariant: the vector is taken from the instruction, never from the error code: some versions
//! of QEMU compute that code for gates of 8 bytes wrongly (n * 16 + 2 instead of n * 8 + 2).

use super::table::{Handler, TrapTable};
use super::{vector, Mode};

/// Bit of an error code: the selector is an index into the interrupt table.
const ERROR_IDT: u32 = 1 << 1;
/// Bit of an error code: the fault came from outside the program.
const ERROR_EXTERNAL: u32 = 1 << 0;
/// Opcode of `INT imm8`.
const OPCODE_INT: u8 = 0xcd;
/// Length of the instruction.
const INT_LEN: u64 = 2;

/// The answer to a software interrupt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SoftInt {
    /// Bounce to this handler without error code, with rip behind the instruction.
    Deliver {
        /// The handler.
        handler: Handler,
        /// Address of the next instruction.
        next_rip: u64,
    },
    /// A general protection fault with this error code, rip at the instruction.
    Refuse {
        /// Error code.
        error_code: u32,
    },
}

/// Whether the error code of a general protection fault says that an interrupt gate was refused.
#[inline]
#[must_use]
pub const fn is_gate_error(error_code: u32) -> bool {
    error_code & (ERROR_IDT | ERROR_EXTERNAL) == ERROR_IDT
}

/// Decides about a refused gate. `bytes` are the two bytes at `rip`, fetched once.
#[must_use]
pub fn resolve(
    bytes: [u8; 2],
    rip: u64,
    error_code: u32,
    mode: Mode,
    table: &TrapTable,
) -> SoftInt {
    let [OPCODE_INT, number] = bytes else {
        return SoftInt::Refuse { error_code };
    };
    let right_code = u32::from(number) << 3 | ERROR_IDT;
    match table.handler(number) {
        Some(handler) if is_permitted(number, mode, table) => {
            SoftInt::Deliver { handler, next_rip: rip.wrapping_add(INT_LEN) }
        }
        _ => SoftInt::Refuse { error_code: right_code },
    }
}

fn is_permitted(number: u8, mode: Mode, table: &TrapTable) -> bool {
    let needed = match mode {
        Mode::Kernel => 1,
        Mode::User => 3,
    };
    number == vector::INT80 || table.dpl(number) >= needed
}

#[cfg(test)]
mod tests {
    use super::*;
    use hypercall_abi::regs::TrapInfo;

    fn table() -> TrapTable {
        let mut table = TrapTable::new();
        for (number, dpl) in [(0x20, 0), (0x21, 1), (0x22, 3), (0x80, 0)] {
            let info = TrapInfo::new(number, dpl, 0xe033, 0x1000 + u64::from(number));
            table.install(&info).unwrap();
        }
        table
    }

    fn resolve_int(number: u8, mode: Mode) -> SoftInt {
        // The wrong error code of the emulator must not matter.
        resolve([0xcd, number], 0x5000, u32::from(number) * 16 + 2, mode, &table())
    }

    #[test]
    fn the_privilege_of_the_entry_decides_by_mode() {
        let deliver = |number: u8| SoftInt::Deliver {
            handler: Handler::new(0x1000 + u64::from(number), false).unwrap(),
            next_rip: 0x5002,
        };
        let refuse = |number: u32| SoftInt::Refuse { error_code: number * 8 + 2 };
        assert_eq!(resolve_int(0x20, Mode::Kernel), refuse(0x20));
        assert_eq!(resolve_int(0x21, Mode::Kernel), deliver(0x21));
        assert_eq!(resolve_int(0x21, Mode::User), refuse(0x21));
        assert_eq!(resolve_int(0x22, Mode::User), deliver(0x22));
        assert_eq!(resolve_int(0x23, Mode::Kernel), refuse(0x23));
    }

    #[test]
    fn vector_0x80_needs_no_privilege_but_a_handler() {
        assert!(matches!(resolve_int(0x80, Mode::User), SoftInt::Deliver { .. }));
        let empty = TrapTable::new();
        let answer = resolve([0xcd, 0x80], 0, 0x802, Mode::User, &empty);
        assert_eq!(answer, SoftInt::Refuse { error_code: 0x402 });
    }

    #[test]
    fn another_instruction_keeps_its_error_code() {
        let answer = resolve([0x90, 0x80], 0, 0x1002, Mode::Kernel, &table());
        assert_eq!(answer, SoftInt::Refuse { error_code: 0x1002 });
        assert!(is_gate_error(0x402) && !is_gate_error(0x403) && !is_gate_error(0x10));
    }
}
