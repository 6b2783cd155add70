//! Physical devices and interrupts: the structures of `physdev_op`.

use crate::addr::{GuestVa, Mfn};
use crate::ids::DomId;
use crate::macros::{abi_struct, consts};

consts! { u32:
    /// Old name of end of interrupt.
    IRQ_UNMASK_NOTIFY = 4;
    /// Whether an interrupt needs an end.
    IRQ_STATUS_QUERY = 5;
    /// Sets the virtual I/O privilege level.
    SET_IOPL = 6;
    /// Sets the ports user mode may use.
    SET_IOBITMAP = 7;
    /// Reads a register of an interrupt controller.
    APIC_READ = 8;
    /// Writes a register of an interrupt controller.
    APIC_WRITE = 9;
    /// Reserves a vector.
    ALLOC_IRQ_VECTOR = 10;
    /// Gives a vector back.
    FREE_IRQ_VECTOR = 11;
    /// End of interrupt.
    EOI = 12;
    /// Makes a physical interrupt for a device.
    MAP_PIRQ = 13;
    /// Removes it.
    UNMAP_PIRQ = 14;
    /// Reports a device.
    MANAGE_PCI_ADD = 15;
    /// Reports that a device is gone.
    MANAGE_PCI_REMOVE = 16;
    /// Shares a page that says which interrupts need an end; ends also unmask.
    PIRQ_EOI_GMFN_V1 = 17;
    /// Restores message interrupts.
    RESTORE_MSI = 19;
    /// Reports a device with functions.
    MANAGE_PCI_ADD_EXT = 20;
    /// Sets how an interrupt line works.
    SETUP_GSI = 21;
    /// Finds a free physical interrupt.
    GET_FREE_PIRQ = 23;
    /// Reports the configuration space.
    PCI_MMCFG_RESERVED = 24;
    /// Reports a device.
    PCI_DEVICE_ADD = 25;
    /// Reports that a device is gone.
    PCI_DEVICE_REMOVE = 26;
    /// Restores message interrupts.
    RESTORE_MSI_EXT = 27;
    /// Shares a page that says which interrupts need an end.
    PIRQ_EOI_GMFN_V2 = 28;
    /// Debug port.
    DBGP_OP = 29;
    /// Prepares message interrupts.
    PREPARE_MSIX = 30;
    /// Gives message interrupts back.
    RELEASE_MSIX = 31;
}

abi_struct! {
    /// Argument of `EOI`.
    PhysdevEoi {
        /// The interrupt.
        irq: u32,
    }
}

abi_struct! {
    /// Argument of `PIRQ_EOI_GMFN_V1` and `PIRQ_EOI_GMFN_V2`.
    PhysdevPirqEoiGmfn {
        /// The page.
        gmfn: Mfn,
    }
}

abi_struct! {
    /// Argument of `IRQ_STATUS_QUERY`.
    PhysdevIrqStatusQuery {
        /// In: the interrupt.
        irq: u32,
        /// Out: `IRQSTAT_*`.
        flags: u32,
    }
}

/// Flag of `PhysdevIrqStatusQuery`: an end is needed.
pub const IRQSTAT_NEEDS_EOI: u32 = 1;
/// Flag of `PhysdevIrqStatusQuery`: other domains use it too.
pub const IRQSTAT_SHARED: u32 = 2;

abi_struct! {
    /// Argument of `SET_IOPL`.
    PhysdevSetIopl {
        /// 0 to 3.
        iopl: u32,
    }
}

abi_struct! {
    /// Argument of `SET_IOBITMAP`.
    PhysdevSetIobitmap {
        /// Address of the bit map; a clear bit allows the port.
        bitmap: GuestVa,
        /// Number of bits.
        nr_ports: u32,
        /// Padding.
        _pad: u32,
    }
}

/// Most ports of an I/O bit map.
pub const MAX_IO_PORTS: u32 = 65536;

abi_struct! {
    /// Argument of `APIC_READ` and `APIC_WRITE`.
    PhysdevApic {
        /// Machine address of the controller.
        apic_physbase: u64,
        /// Register.
        reg: u32,
        /// Contents.
        value: u32,
    }
}

abi_struct! {
    /// Argument of `ALLOC_IRQ_VECTOR`.
    PhysdevIrq {
        /// The interrupt.
        irq: u32,
        /// Its vector.
        vector: u32,
    }
}

abi_struct! {
    /// Argument of `MAP_PIRQ`.
    PhysdevMapPirq {
        /// For this domain.
        domid: DomId,
        /// Padding.
        _pad0: u16,
        /// `MAP_PIRQ_TYPE_*`.
        kind: i32,
        /// Line, or negative.
        index: i32,
        /// In and out: the physical interrupt; negative for any.
        pirq: i32,
        /// Bus of the device.
        bus: i32,
        /// Device and function.
        devfn: i32,
        /// Number of the message.
        entry_nr: i32,
        /// Padding.
        _pad1: u32,
        /// Address of the table of messages.
        table_base: u64,
    }
}

consts! { i32:
    /// A message interrupt.
    MAP_PIRQ_TYPE_MSI = 0;
    /// An interrupt line.
    MAP_PIRQ_TYPE_GSI = 1;
    /// Not known.
    MAP_PIRQ_TYPE_UNKNOWN = 2;
    /// A message interrupt; the bus number carries the segment.
    MAP_PIRQ_TYPE_MSI_SEG = 3;
    /// Several message interrupts.
    MAP_PIRQ_TYPE_MULTI_MSI = 4;
}

abi_struct! {
    /// Argument of `UNMAP_PIRQ`.
    PhysdevUnmapPirq {
        /// From this domain.
        domid: DomId,
        /// Padding.
        _pad: u16,
        /// The physical interrupt.
        pirq: i32,
    }
}

abi_struct! {
    /// Argument of `SETUP_GSI`.
    PhysdevSetupGsi {
        /// The line.
        gsi: i32,
        /// 0 edge, 1 level.
        triggering: u8,
        /// 0 active high, 1 active low.
        polarity: u8,
        /// Padding.
        _pad: u16,
    }
}

abi_struct! {
    /// Argument of `GET_FREE_PIRQ`.
    PhysdevGetFreePirq {
        /// In: `MAP_PIRQ_TYPE_*`.
        kind: i32,
        /// Out: the physical interrupt.
        pirq: u32,
    }
}

abi_struct! {
    /// Argument of `PCI_MMCFG_RESERVED`.
    PhysdevPciMmcfgReserved {
        /// Machine address.
        address: u64,
        /// Segment.
        segment: u16,
        /// First bus.
        start_bus: u8,
        /// Last bus.
        end_bus: u8,
        /// 1 if the area is reserved in the memory map.
        flags: u32,
    }
}

abi_struct! {
    /// Argument of `PCI_DEVICE_REMOVE` and of the message interrupt operations.
    PhysdevPciDevice {
        /// Segment.
        seg: u16,
        /// Bus.
        bus: u8,
        /// Device and function.
        devfn: u8,
    }
}

abi_struct! {
    /// Head of the argument of `PCI_DEVICE_ADD`; with `PCI_DEV_PXM` a u32 follows.
    PhysdevPciDeviceAdd {
        /// Segment.
        seg: u16,
        /// Bus.
        bus: u8,
        /// Device and function.
        devfn: u8,
        /// `PCI_DEV_*`.
        flags: u32,
        /// Bus, device and function of the physical function.
        physfn: [u8; 2],
        /// Padding.
        _pad: u16,
    }
}

consts! { u32:
    /// Has further functions.
    PCI_DEV_EXTFN = 1;
    /// Is a virtual function.
    PCI_DEV_VIRTFN = 2;
    /// Its node follows.
    PCI_DEV_PXM = 4;
}
