//! Structures about what a domain may touch: interrupts, device memory, ports.

use crate::addr::Mfn;
use crate::ids::Virq;
use crate::macros::abi_struct;

abi_struct! {
    /// `cmd::IRQ_PERMISSION`.
    IrqPermission {
        /// The physical interrupt.
        pirq: u32,
        /// Not 0: allowed.
        allow_access: u8,
        /// Padding.
        _pad: [u8; 3],
    }
}

abi_struct! {
    /// `cmd::IOMEM_PERMISSION`.
    IomemPermission {
        /// First frame.
        first_mfn: Mfn,
        /// Frames.
        nr_mfns: u64,
        /// Not 0: allowed.
        allow_access: u8,
        /// Padding.
        _pad: [u8; 7],
    }
}

abi_struct! {
    /// `cmd::IOPORT_PERMISSION`.
    IoportPermission {
        /// First port.
        first_port: u32,
        /// Ports.
        nr_ports: u32,
        /// Not 0: allowed.
        allow_access: u8,
        /// Padding.
        _pad: [u8; 3],
    }
}

abi_struct! {
    /// `cmd::MEMORY_MAPPING`.
    MemoryMapping {
        /// First pseudo-physical frame.
        first_gfn: u64,
        /// First frame.
        first_mfn: Mfn,
        /// Frames.
        nr_mfns: u64,
        /// 1 adds, 0 removes.
        add_mapping: u32,
        /// Padding.
        _padding: u32,
    }
}

abi_struct! {
    /// `cmd::SET_VIRQ_HANDLER`.
    SetVirqHandler {
        /// The virtual interrupt.
        virq: Virq,
    }
}
