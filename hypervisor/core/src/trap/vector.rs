//! The vectors the hypervisor knows by name, and what is special about the exceptions.

/// Debug exception.
pub const DEBUG: u8 = 1;
/// Non-maskable interrupt.
pub const NMI: u8 = 2;
/// Invalid opcode.
pub const INVALID_OPCODE: u8 = 6;
/// FPU not available.
pub const NO_DEVICE: u8 = 7;
/// General protection.
pub const GENERAL_PROTECTION: u8 = 13;
/// Page fault.
pub const PAGE_FAULT: u8 = 14;
/// The software interrupt of the old Linux system call, which needs no privilege.
pub const INT80: u8 = 0x80;

/// Whether an exception of this vector pushes an error code; a software interrupt never does. Those
/// that do: double fault, invalid task state segment, segment not present, stack segment, general
/// protection, page fault, alignment check, control protection.
pub const fn has_error_code(vector: u8) -> bool {
    matches!(vector, 8 | 10..=14 | 17 | 21)
}

/// Whether an exception of this vector raised in a guest may be delivered to the guest. The
/// hypervisor handles the others itself: the non-maskable interrupt, double fault, spurious
/// interrupt, machine check and control protection.
pub const fn is_bounced(vector: u8) -> bool {
    vector < 32 && !matches!(vector, NMI | 8 | 15 | 18 | 21)
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
