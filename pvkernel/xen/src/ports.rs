//! I/O ports, for the control domain.
//!
//! The instructions fault in ring 3 and the hypervisor carries them out for a domain with the right to
//! the port, once the kernel has given itself I/O privilege. Only what finds devices uses ports; all
//! else is memory-mapped.

use spin::Once;

use crate::hypercall::physdev;

static PRIVILEGE: Once<()> = Once::new();

/// The level from which on the kernel itself may use ports.
const IOPL_KERNEL: u32 = 1;

fn ensure_privilege() {
    PRIVILEGE.call_once(|| physdev::set_iopl(IOPL_KERNEL).expect("levels up to 3 are permitted"));
}

/// Reads 32 bits.
///
/// # Safety
/// The domain has the right to the port, and reading it has no effect anybody relies not to happen.
pub unsafe fn read_u32(port: u16) -> u32 {
    ensure_privilege();
    let value;
    // SAFETY: the caller's promise; the instruction changes eax only.
    unsafe {
        core::arch::asm!("in eax, dx", in("dx") port, out("eax") value, options(nostack, preserves_flags));
    }
    value
}

/// Writes 32 bits.
///
/// # Safety
/// The domain has the right to the port, and what the device does then breaks nothing.
pub unsafe fn write_u32(port: u16, value: u32) {
    ensure_privilege();
    // SAFETY: the caller's promise; the instruction changes no register.
    unsafe {
        core::arch::asm!("out dx, eax", in("dx") port, in("eax") value, options(nostack, preserves_flags));
    }
}
