//! `physdev_op`.

use crate::harness::{command, Report, UNMAPPED};
use hypercall_abi::physdev::{
    self as abi, PhysdevEoi, PhysdevIrqStatusQuery, PhysdevSetIobitmap, PhysdevSetIopl,
};
use hypercall_abi::{nr, Errno, GuestVa};

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
    t.errno("unknown-command", Errno::ENOSYS, command(nr::PHYSDEV_OP, 99, &mut [0u64; 8]));
}
