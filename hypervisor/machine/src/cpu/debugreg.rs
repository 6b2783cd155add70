//! Debug registers of the running guest.
//!
//! A breakpoint that hits inside the hypervisor is dropped by `hv_debug_trap`, so whatever addresses
//! a guest sets cannot stop it.

use super::asm::read_dr6;
use core::arch::asm;

/// Bits of DR7 a guest may set: the four breakpoints and the two "exact" bits.
const DR7_ALLOWED: u64 = 0xffff_03ff;
/// Bit of DR7 that is always set.
const DR7_FIXED: u64 = 0x400;
/// Bits of DR6 that can be written.
const DR6_ALLOWED: u64 = 0xe00f;
/// Bits of DR6 that are always set.
const DR6_FIXED: u64 = 0xffff_0ff0;

macro_rules! write_dr {
    ($register:literal, $value:expr) => {{
        let value: u64 = $value;
        // SAFETY: breakpoints do not affect memory, and those in ring 0 are dropped.
        unsafe {
            asm!(concat!("mov ", $register, ", {}"), in(reg) value, options(nomem, nostack, preserves_flags));
        }
    }};
}

/// Loads DR0 to DR3, DR6 and DR7.
pub fn load_debug_regs(values: &[u64; 6]) {
    let [dr0, dr1, dr2, dr3, dr6, dr7] = *values;
    write_dr!("dr7", DR7_FIXED);
    write_dr!("dr0", dr0);
    write_dr!("dr1", dr1);
    write_dr!("dr2", dr2);
    write_dr!("dr3", dr3);
    write_dr!("dr6", dr6 & DR6_ALLOWED | DR6_FIXED);
    write_dr!("dr7", dr7 & DR7_ALLOWED | DR7_FIXED);
}

/// Turns all breakpoints off.
pub fn clear_debug_regs() {
    write_dr!("dr7", DR7_FIXED);
}

/// DR6, which says what a debug exception was about; it is reset for the next one.
pub fn take_dr6() -> u64 {
    let dr6 = read_dr6();
    write_dr!("dr6", DR6_FIXED);
    dr6
}
