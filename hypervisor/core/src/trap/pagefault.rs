//! The error code of a page fault as a guest sees it.
//!
//! Called on every page fault that the hypervisor does not resolve itself. Guest kernel and guest
//! user both run in ring 3, so the processor always says "user"; the guest is told its own mode.
//!
//! Invariant: bits of features that guests do not have are never shown.

use super::Mode;

/// The translation was present.
pub const PRESENT: u32 = 1 << 0;
/// The access was a write.
pub const WRITE: u32 = 1 << 1;
/// The access came from user mode.
pub const USER: u32 = 1 << 2;
/// A reserved bit was set in an entry.
pub const RESERVED: u32 = 1 << 3;
/// The access was an instruction fetch.
pub const FETCH: u32 = 1 << 4;

/// Translates the error code of the processor; nothing if a reserved bit was set in an entry. The
/// hypervisor never stores reserved bits in present entries, so such a fault means that a table is
/// damaged, and the domain has to be crashed.
#[must_use]
pub fn guest_error_code(hardware: u32, mode: Mode) -> Option<u32> {
    let user = if mode == Mode::User { USER } else { 0 };
    (hardware & RESERVED == 0).then_some(hardware & (PRESENT | WRITE | FETCH) | user)
}

/// Whether a fault may be a write of a guest kernel to one of its page tables, which is emulated
/// when the guest has enabled it and the frame is a level 1 table.
pub fn may_be_page_table_write(hardware: u32, mode: Mode) -> bool {
    mode == Mode::Kernel && hardware & (PRESENT | WRITE | RESERVED | FETCH) == PRESENT | WRITE
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_user_bit_is_the_mode_and_unknown_bits_vanish() {
        assert_eq!(guest_error_code(0x7, Mode::Kernel), Some(3));
        assert_eq!(guest_error_code(0x3, Mode::User), Some(7));
        assert_eq!(guest_error_code(0x80f7, Mode::Kernel), Some(0x13));
        assert_eq!(guest_error_code(0xc, Mode::User), None);
    }

    #[test]
    fn only_kernel_writes_to_present_pages_can_be_table_writes() {
        assert!(may_be_page_table_write(0x7, Mode::Kernel));
        for (code, mode) in [(7, Mode::User), (5, Mode::Kernel), (6, Mode::Kernel)] {
            assert!(!may_be_page_table_write(code, mode));
        }
        assert!(!may_be_page_table_write(0x17, Mode::Kernel));
    }
}
