//! The exception vectors and what is special about them.

/// Divide error.
pub const DIVIDE_ERROR: u8 = 0;
/// Debug exception.
pub const DEBUG: u8 = 1;
/// Non-maskable interrupt.
pub const NMI: u8 = 2;
/// Breakpoint instruction.
pub const BREAKPOINT: u8 = 3;
/// Overflow instruction.
pub const OVERFLOW: u8 = 4;
/// Bound range exceeded.
pub const BOUND: u8 = 5;
/// Invalid opcode.
pub const INVALID_OPCODE: u8 = 6;
/// FPU not available.
pub const NO_DEVICE: u8 = 7;
/// Double fault.
pub const DOUBLE_FAULT: u8 = 8;
/// Invalid task state segment.
pub const INVALID_TSS: u8 = 10;
/// Segment not present.
pub const NOT_PRESENT: u8 = 11;
/// Stack segment fault.
pub const STACK: u8 = 12;
/// General protection.
pub const GENERAL_PROTECTION: u8 = 13;
/// Page fault.
pub const PAGE_FAULT: u8 = 14;
/// Spurious interrupt.
pub const SPURIOUS: u8 = 15;
/// x87 error.
pub const X87: u8 = 16;
/// Alignment check.
pub const ALIGNMENT: u8 = 17;
/// Machine check.
pub const MACHINE_CHECK: u8 = 18;
/// SIMD floating point error.
pub const SIMD: u8 = 19;
/// Control protection.
pub const CONTROL_PROTECTION: u8 = 21;
/// The software interrupt of the old Linux system call, which needs no privilege.
pub const INT80: u8 = 0x80;

/// Vectors whose hardware frame has an error code.
const WITH_ERROR_CODE: u32 = 1 << DOUBLE_FAULT
    | 1 << INVALID_TSS
    | 1 << NOT_PRESENT
    | 1 << STACK
    | 1 << GENERAL_PROTECTION
    | 1 << PAGE_FAULT
    | 1 << ALIGNMENT
    | 1 << CONTROL_PROTECTION;

/// Vectors that are handled by the hypervisor and never reach a guest as exceptions.
const NEVER_BOUNCED: u32 =
    1 << NMI | 1 << DOUBLE_FAULT | 1 << SPURIOUS | 1 << MACHINE_CHECK | 1 << CONTROL_PROTECTION;

/// Whether an exception of this vector pushes an error code. A software interrupt never does.
#[inline]
#[must_use]
pub const fn has_error_code(vector: u8) -> bool {
    vector < 32 && WITH_ERROR_CODE >> vector & 1 != 0
}

/// Whether an exception of this vector raised in a guest may be delivered to the guest.
#[inline]
#[must_use]
pub const fn is_bounced(vector: u8) -> bool {
    vector < 32 && NEVER_BOUNCED >> vector & 1 == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exactly_the_documented_vectors_have_error_codes() {
        let with: Vec<u8> = (0..=255).filter(|v| has_error_code(*v)).collect();
        assert_eq!(with, [8, 10, 11, 12, 13, 14, 17, 21]);
    }

    #[test]
    fn interrupts_and_machine_events_are_not_bounced_as_exceptions() {
        for vector in [2, 8, 15, 18, 21, 32, 0x80, 255] {
            assert!(!is_bounced(vector), "{vector}");
        }
        for vector in [0, 1, 3, 6, 7, 13, 14, 16, 17, 19] {
            assert!(is_bounced(vector), "{vector}");
        }
    }
}
