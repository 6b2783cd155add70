//! Bad pointers, for every hypercall that takes one: never a fault, always `EFAULT`.

use crate::harness::{hypercall, Report, IN_HOLE, NOT_CANONICAL, UNMAPPED};
use hypercall_abi::{evtchn, grant, memory, nr, sched, vcpu, version, DomId, Errno};

/// Calls whose only mistake is the pointer: name, number, arguments, and which argument it is.
const CALLS: &[(&str, u64, [u64; 4], usize)] = &[
    ("set-trap-table", nr::SET_TRAP_TABLE, [0; 4], 0),
    ("mmu-update", nr::MMU_UPDATE, [0, 1, 0, DomId::SELF.get() as u64], 0),
    ("mmuext", nr::MMUEXT_OP, [0, 1, 0, DomId::SELF.get() as u64], 0),
    ("set-gdt", nr::SET_GDT, [0, 512, 0, 0], 0),
    ("memory-reservation", nr::MEMORY_OP, [memory::CURRENT_RESERVATION as u64, 0, 0, 0], 1),
    ("memory-map", nr::MEMORY_OP, [memory::MEMORY_MAP as u64, 0, 0, 0], 1),
    ("memory-exchange", nr::MEMORY_OP, [memory::EXCHANGE as u64, 0, 0, 0], 1),
    ("memory-machphys", nr::MEMORY_OP, [memory::MACHPHYS_MAPPING as u64, 0, 0, 0], 1),
    ("version-extra", nr::XEN_VERSION, [version::EXTRAVERSION as u64, 0, 0, 0], 1),
    ("version-features", nr::XEN_VERSION, [version::GET_FEATURES as u64, 0, 0, 0], 1),
    ("version-capabilities", nr::XEN_VERSION, [version::CAPABILITIES as u64, 0, 0, 0], 1),
    ("grant-query", nr::GRANT_TABLE_OP, [grant::QUERY_SIZE as u64, 0, 1, 0], 1),
    ("grant-map", nr::GRANT_TABLE_OP, [grant::MAP_GRANT_REF as u64, 0, 1, 0], 1),
    ("grant-copy", nr::GRANT_TABLE_OP, [grant::COPY as u64, 0, 1, 0], 1),
    ("sched-poll", nr::SCHED_OP, [sched::POLL as u64, 0, 0, 0], 1),
    ("sched-shutdown", nr::SCHED_OP, [sched::SHUTDOWN as u64, 0, 0, 0], 1),
    ("sched-watchdog", nr::SCHED_OP, [sched::WATCHDOG as u64, 0, 0, 0], 1),
    ("evtchn-alloc", nr::EVENT_CHANNEL_OP, [evtchn::ALLOC_UNBOUND as u64, 0, 0, 0], 1),
    ("evtchn-send", nr::EVENT_CHANNEL_OP, [evtchn::SEND as u64, 0, 0, 0], 1),
    ("evtchn-status", nr::EVENT_CHANNEL_OP, [evtchn::STATUS as u64, 0, 0, 0], 1),
    ("vcpu-runstate", nr::VCPU_OP, [vcpu::GET_RUNSTATE_INFO as u64, 0, 0, 0], 2),
    ("vcpu-singleshot", nr::VCPU_OP, [vcpu::SET_SINGLESHOT_TIMER as u64, 0, 0, 0], 2),
    ("physdev-iopl", nr::PHYSDEV_OP, [hypercall_abi::physdev::SET_IOPL as u64, 0, 0, 0], 1),
    ("multicall", nr::MULTICALL, [0, 1, 0, 0], 0),
];

/// Runs the topic.
pub fn run(t: &mut Report) {
    for (name, number, args, which) in CALLS {
        for (kind, pointer) in [
            ("unmapped", UNMAPPED),
            ("in-hole", IN_HOLE),
            ("not-canonical", NOT_CANONICAL),
            ("at-the-end", u64::MAX - 3),
        ] {
            let mut args = *args;
            args[*which] = pointer;
            let name = alloc::format!("{name}-{kind}");
            t.errno(&name, Errno::EFAULT, hypercall(*number, &args));
        }
    }
}
