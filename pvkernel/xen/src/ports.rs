//! I/O ports, for the control domain.
//!
//! The instructions fault in ring 3 and the hypervisor carries them out for a domain with the right to
//! the port, once the kernel has given itself I/O privilege. Only what finds devices uses ports; all
//! else is memory-mapped.

use core::arch::asm;

use spin::Once;

use crate::hypercall::physdev;

/// The level from which on the kernel itself may use ports.
const IOPL_KERNEL: u32 = 1;

fn ensure_privilege() {
    static DONE: Once<()> = Once::new();
    DONE.call_once(|| physdev::set_iopl(IOPL_KERNEL).expect("levels up to 3 are permitted"));
}

macro_rules! port_access {
    ($read:ident, $write:ident, $ty:ty, $reg:tt, $bits:literal) => {
        #[doc = concat!("Reads ", $bits, " bits.")]
        ///
        /// # Safety
        /// The kernel has the right to the port, and reading it has no effect anybody relies not to happen.
        pub unsafe fn $read(port: u16) -> $ty {
            ensure_privilege();
            let value;
            // SAFETY: the caller's promise; the instruction changes one register only.
            unsafe {
                asm!(concat!("in ", $reg, ", dx"), in("dx") port, out($reg) value,
                    options(nostack, preserves_flags));
            }
            value
        }

        #[doc = concat!("Writes ", $bits, " bits.")]
        ///
        /// # Safety
        /// The kernel has the right to the port, and what the device does then breaks nothing.
        pub unsafe fn $write(port: u16, value: $ty) {
            ensure_privilege();
            // SAFETY: the caller's promise; the instruction changes no register.
            unsafe {
                asm!(concat!("out dx, ", $reg), in("dx") port, in($reg) value,
                    options(nostack, preserves_flags));
            }
        }
    };
}

port_access!(read_u32, write_u32, u32, "eax", "32");
