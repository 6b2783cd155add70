//! `physdev_op`.

use crate::harness::{command, Report, UNMAPPED};
use hypercall_abi::physdev::{
    self as abi, PhysdevEoi, PhysdevIrqStatusQuery, PhysdevMapPirq, PhysdevPciDeviceAdd,
    PhysdevSetIobitmap, PhysdevSetIopl, PhysdevSetupGsi, PhysdevUnmapPirq,
};
use hypercall_abi::{nr, DomId, Errno, GuestVa};

/// Runs the topic.
pub fn run(t: &mut Report) {
    let iopl = |iopl: u32| command(nr::PHYSDEV_OP, abi::SET_IOPL, &mut PhysdevSetIopl { iopl });
    t.ret("iopl-1", 0, iopl(1));
    t.ret("iopl-3", 0, iopl(3));
    t.ret("iopl-0", 0, iopl(0));
    t.errno("iopl-4", Errno::EINVAL, iopl(4));
    t.errno("iopl-huge", Errno::EINVAL, iopl(u32::MAX));
    let bitmap = |nr_ports: u32, at: u64| {
        let bitmap = GuestVa::new(at);
        let mut arg = PhysdevSetIobitmap { bitmap, nr_ports, ..Default::default() };
        command(nr::PHYSDEV_OP, abi::SET_IOBITMAP, &mut arg)
    };
    t.ret("iobitmap", 0, bitmap(8, UNMAPPED));
    t.ret("iobitmap-none", 0, bitmap(0, 0));
    t.errno("iobitmap-too-many", Errno::EINVAL, bitmap(65537, 0));
    let eoi = command(nr::PHYSDEV_OP, abi::EOI, &mut PhysdevEoi { irq: 1 << 20 });
    t.errno("eoi-unknown", Errno::EINVAL, eoi);
    let mut query = PhysdevIrqStatusQuery { irq: 1 << 20, flags: 0 };
    let status = command(nr::PHYSDEV_OP, abi::IRQ_STATUS_QUERY, &mut query);
    t.errno("irq-status-unknown", Errno::EINVAL, status);
    let mut pirq = PhysdevMapPirq {
        domid: DomId::new(0x7000),
        kind: abi::MAP_PIRQ_TYPE_GSI,
        index: 9,
        pirq: 9,
        ..Default::default()
    };
    let map = command(nr::PHYSDEV_OP, abi::MAP_PIRQ, &mut pirq);
    t.errno("map-pirq-unknown-domain", Errno::ESRCH, map);
    let mut unmap = PhysdevUnmapPirq { domid: DomId::SELF, pirq: 200, ..Default::default() };
    let unmap = command(nr::PHYSDEV_OP, abi::UNMAP_PIRQ, &mut unmap);
    t.check("unmap-pirq-not-mapped", unmap < 0);
    if !t.is_dom0 {
        pirq.domid = DomId::SELF;
        let own = command(nr::PHYSDEV_OP, abi::MAP_PIRQ, &mut pirq);
        t.errno("map-pirq-without-right", Errno::EPERM, own);
        let gsi = command(nr::PHYSDEV_OP, abi::SETUP_GSI, &mut PhysdevSetupGsi::default());
        t.errno("setup-gsi-refused", Errno::EPERM, gsi);
        let mut device = PhysdevPciDeviceAdd::default();
        let add = command(nr::PHYSDEV_OP, abi::PCI_DEVICE_ADD, &mut device);
        t.errno("pci-add-refused", Errno::EPERM, add);
    }
    t.errno("unknown-command", Errno::ENOSYS, command(nr::PHYSDEV_OP, 99, &mut [0u64; 8]));
}
