//! I/O ports.
//!
//! The safe functions are for the image, which has checked that the guest on whose behalf it acts
//! owns the ports. A device that a port controls could write to memory (DMA); guests with ports are
//! trusted as much as the hypervisor in that respect, as under Xen without an IOMMU.

use core::arch::asm;

macro_rules! port_access {
    ($in_fn:ident, $out_fn:ident, $ty:ty, $reg:tt, $bits:literal) => {
        #[doc = concat!("Reads ", $bits, " bits.")]
        pub fn $in_fn(port: u16) -> $ty {
            let value: $ty;
            // SAFETY: reaches a device, not memory of the hypervisor (see the module header).
            unsafe {
                asm!(concat!("in ", $reg, ", dx"), in("dx") port, out($reg) value,
                    options(nomem, nostack, preserves_flags));
            }
            value
        }

        #[doc = concat!("Writes ", $bits, " bits.")]
        pub fn $out_fn(port: u16, value: $ty) {
            // SAFETY: reaches a device, not memory of the hypervisor (see the module header).
            unsafe {
                asm!(concat!("out dx, ", $reg), in("dx") port, in($reg) value,
                    options(nomem, nostack, preserves_flags));
            }
        }
    };
}

port_access!(inb, outb, u8, "al", "8");
port_access!(inw, outw, u16, "ax", "16");
port_access!(inl, outl, u32, "eax", "32");
