//! I/O ports.
//!
//! In ring 0 the instructions reach the device.

use core::arch::asm;

macro_rules! port_access {
    ($read:ident, $write:ident, $ty:ty, $reg:tt, $bits:literal) => {
        #[doc = concat!("Reads ", $bits, " bits.")]
        ///
        /// # Safety
        /// The kernel has the right to the port, and reading it has no effect anybody relies not to happen.
        pub unsafe fn $read(port: u16) -> $ty {
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
            // SAFETY: the caller's promise; the instruction changes no register.
            unsafe {
                asm!(concat!("out dx, ", $reg), in("dx") port, in($reg) value,
                    options(nostack, preserves_flags));
            }
        }
    };
}

port_access!(read_u8, write_u8, u8, "al", "8");
port_access!(read_u16, write_u16, u16, "ax", "16");
port_access!(read_u32, write_u32, u32, "eax", "32");
