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
pub const INT_LEN: u64 = 2;

/// Whether the error code of a general protection fault says that an interrupt gate was refused.
pub const fn is_gate_error(error_code: u32) -> bool {
    error_code & (ERROR_IDT | ERROR_EXTERNAL) == ERROR_IDT
}

/// Decides about a refused gate. `bytes` are the two bytes at rip, fetched once. The handler is
/// entered without error code, with rip behind the instruction ([`INT_LEN`]).
///
/// # Errors
/// The guest gets a general protection fault with this error code, and rip at the instruction.
pub fn resolve(
    bytes: [u8; 2],
    error_code: u32,
    mode: Mode,
    table: &TrapTable,
) -> Result<Handler, u32> {
    let [OPCODE_INT, number] = bytes else { return Err(error_code) };
    let needed = if mode == Mode::Kernel { 1 } else { 3 };
    let is_permitted = number == vector::INT80 || table.info(number).dpl() >= needed;
    let handler = table.handler(number).filter(|_| is_permitted);
    handler.ok_or(u32::from(number) << 3 | ERROR_IDT)
}

#[cfg(test)]
mod tests {
    use super::*;
    use hypercall_abi::regs::TrapInfo;

    fn table() -> TrapTable {
        let mut table = TrapTable::default();
        for (number, dpl) in [(0x20, 0), (0x21, 1), (0x22, 3), (0x80, 0)] {
            let info = TrapInfo::new(number, dpl, 0xe033, 0x1000 + u64::from(number));
            table.install(&info).unwrap();
        }
        table
    }

    fn resolve_int(number: u8, mode: Mode) -> Result<Handler, u32> {
        // The wrong error code of the emulator must not matter.
        resolve([0xcd, number], u32::from(number) * 16 + 2, mode, &table())
    }

    #[test]
    fn the_privilege_of_the_entry_decides_by_mode() {
        let deliver = |number: u8| Ok(Handler::new(0x1000 + u64::from(number), false).unwrap());
        let refuse = |number: u32| Err(number * 8 + 2);
        assert_eq!(resolve_int(0x20, Mode::Kernel), refuse(0x20));
        assert_eq!(resolve_int(0x21, Mode::Kernel), deliver(0x21));
        assert_eq!(resolve_int(0x21, Mode::User), refuse(0x21));
        assert_eq!(resolve_int(0x22, Mode::User), deliver(0x22));
        assert_eq!(resolve_int(0x23, Mode::Kernel), refuse(0x23));
    }

    #[test]
    fn vector_0x80_needs_no_privilege_but_a_handler() {
        assert!(resolve_int(0x80, Mode::User).is_ok());
        let empty = TrapTable::default();
        let answer = resolve([0xcd, 0x80], 0x802, Mode::User, &empty);
        assert_eq!(answer, Err(0x402));
    }

    #[test]
    fn another_instruction_keeps_its_error_code() {
        let answer = resolve([0x90, 0x80], 0x1002, Mode::Kernel, &table());
        assert_eq!(answer, Err(0x1002));
        assert!(is_gate_error(0x402) && !is_gate_error(0x403) && !is_gate_error(0x10));
    }
}
