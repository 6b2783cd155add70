//! Numbers that do not exist, `multicall`, `vm_assist`, callbacks and the NMI.

use crate::harness::{address, command, hypercall, Report, NOT_CANONICAL, UNMAPPED};
use hypercall_abi::callback::{self, kind, CallbackRegister, CallbackUnregister};
use hypercall_abi::multicall::MulticallEntry;
use hypercall_abi::nmi::{self, XennmiCallback};
use hypercall_abi::version::XEN_4_17;
use hypercall_abi::{nr, vm_assist as va, Errno};
use pvkernel_xen::hypercall::{misc, version};

/// Runs the topic.
pub fn run(t: &mut Report) {
    numbers(t);
    multicall(t);
    assist(t);
    callbacks(t);
    nmi(t);
}

fn numbers(t: &mut Report) {
    for (name, number) in [
        ("number-11", 11),
        ("number-38-tmem", nr::TMEM_OP),
        ("number-43", 43),
        ("number-47", 47),
        ("number-50", 50),
        ("number-63", 63),
        ("number-64", 64),
        ("number-huge", u64::MAX),
        ("number-32-bits-above", 1 << 32 | nr::XEN_VERSION),
    ] {
        t.errno(name, Errno::ENOSYS, hypercall(number, &[]));
    }
}

fn multicall(t: &mut Report) {
    let entry = |op: u64, args: [u64; 6]| MulticallEntry { op, result: -1, args };
    let version = entry(nr::XEN_VERSION, [0; 6]);
    let mut list = [
        version,
        entry(nr::SCHED_OP, [99, 0, 0, 0, 0, 0]),
        entry(63, [0; 6]),
        entry(nr::MULTICALL, [0, 0, 0, 0, 0, 0]),
        version,
    ];
    let ret = hypercall(nr::MULTICALL, &[address(&mut list), list.len() as u64]);
    t.ret("multicall", 0, ret);
    let number = i64::from(XEN_4_17);
    let expected =
        [number, Errno::ENOSYS.to_ret(), Errno::ENOSYS.to_ret(), Errno::EINVAL.to_ret(), number];
    t.eq("multicall-results", expected, list.map(|entry| entry.result));
    t.eq("multicall-keeps-arguments", [99, 0, 0, 0, 0, 0], list[1].args);
    let mut nested = [version];
    let mut outer = [entry(nr::MULTICALL, [address(&mut nested), 1, 0, 0, 0, 0])];
    t.ret("multicall-outer", 0, hypercall(nr::MULTICALL, &[address(&mut outer), 1]));
    t.eq("multicall-nested", Errno::EINVAL.to_ret(), outer[0].result);
    t.ret("multicall-empty", 0, hypercall(nr::MULTICALL, &[UNMAPPED, 0]));
    t.errno("multicall-bad-list", Errno::EFAULT, hypercall(nr::MULTICALL, &[UNMAPPED, 1]));
    let huge = hypercall(nr::MULTICALL, &[address(&mut list), 1 << 59]);
    // The count has 32 bits; the rest is ignored.
    t.ret("multicall-count-overflow", 0, huge);
    let mut long = alloc::vec![version; 500];
    t.ret("multicall-long", 0, hypercall(nr::MULTICALL, &[address(&mut long[..]), 500]));
    t.check("multicall-long-results", long.iter().all(|entry| entry.result == number));
}

fn assist(t: &mut Report) {
    for (name, kind) in [
        ("assist-4gb-segments", va::TYPE_4GB_SEGMENTS),
        ("assist-4gb-notify", va::TYPE_4GB_SEGMENTS_NOTIFY),
        ("assist-writable-pagetables", va::TYPE_WRITABLE_PAGETABLES),
        ("assist-pae-extended-cr3", va::TYPE_PAE_EXTENDED_CR3),
        ("assist-runstate-update", va::TYPE_RUNSTATE_UPDATE_FLAG),
        ("assist-iopl", va::TYPE_ARCHITECTURAL_IOPL),
    ] {
        t.eq(name, Ok(()), misc::vm_assist(va::CMD_ENABLE, kind));
        t.eq(name, Ok(()), misc::vm_assist(va::CMD_DISABLE, kind));
    }
    for (name, kind) in [("assist-type-6", 6), ("assist-type-31", 31), ("assist-type-64", 64)] {
        t.eq(name, Err(Errno::EINVAL), misc::vm_assist(va::CMD_ENABLE, kind));
    }
    t.eq("assist-command-2", Err(Errno::ENOSYS), misc::vm_assist(2, 0));
    let before = version::features(0).unwrap_or(0) & 1 << 4;
    let _ = misc::vm_assist(va::CMD_ENABLE, va::TYPE_PAE_EXTENDED_CR3);
    let after = version::features(0).unwrap_or(0) & 1 << 4;
    let _ = misc::vm_assist(va::CMD_DISABLE, va::TYPE_PAE_EXTENDED_CR3);
    t.eq("assist-3-shows-as-feature-4", (0, 1 << 4), (before, after));
}

fn register(kind: u16, address: u64) -> i64 {
    let mut arg = CallbackRegister { kind, address, ..Default::default() };
    command(nr::CALLBACK_OP, callback::REGISTER, &mut arg)
}

fn unregister(kind: u16) -> i64 {
    let mut arg = CallbackUnregister { kind, ..Default::default() };
    command(nr::CALLBACK_OP, callback::UNREGISTER, &mut arg)
}

fn callbacks(t: &mut Report) {
    t.errno("callback-not-canonical", Errno::EINVAL, register(kind::FAILSAFE, NOT_CANONICAL));
    t.errno("callback-unknown-kind", Errno::ENOSYS, register(6, 0x1000));
    t.errno("callback-kind-8", Errno::ENOSYS, register(8, 0x1000));
    t.errno("callback-old-sysenter", Errno::ENOSYS, register(kind::SYSENTER_DEPRECATED, 0x1000));
    t.ret("callback-sysenter", 0, register(kind::SYSENTER, 0));
    t.ret("callback-syscall32", 0, register(kind::SYSCALL32, 0));
    for (name, kind) in [
        ("callback-unregister-event", kind::EVENT),
        ("callback-unregister-failsafe", kind::FAILSAFE),
        ("callback-unregister-syscall", kind::SYSCALL),
        ("callback-unregister-sysenter", kind::SYSENTER),
    ] {
        t.errno(name, Errno::EINVAL, unregister(kind));
    }
    t.errno("callback-unregister-unknown", Errno::ENOSYS, unregister(99));
    t.errno("callback-command-2", Errno::ENOSYS, hypercall(nr::CALLBACK_OP, &[2, 0]));
    t.errno("callback-null", Errno::EFAULT, hypercall(nr::CALLBACK_OP, &[0, 0]));
    // A bad address is not installed, and not an error either.
    let ret = hypercall(nr::SET_CALLBACKS, &[NOT_CANONICAL, NOT_CANONICAL, NOT_CANONICAL]);
    t.ret("set-callbacks-not-canonical", 0, ret);
    pvkernel_xen::trap::install();
}

fn nmi(t: &mut Report) {
    let mut arg = XennmiCallback { handler_address: 0, pad: 0 };
    t.ret("nmi-register", 0, command(nr::NMI_OP, nmi::REGISTER_CALLBACK, &mut arg));
    arg.handler_address = NOT_CANONICAL;
    let bad = command(nr::NMI_OP, nmi::REGISTER_CALLBACK, &mut arg);
    t.errno("nmi-not-canonical", Errno::EINVAL, bad);
    t.ret("nmi-unregister", 0, hypercall(nr::NMI_OP, &[nmi::UNREGISTER_CALLBACK.into(), 0]));
    t.errno("nmi-command-2", Errno::ENOSYS, hypercall(nr::NMI_OP, &[2, 0]));
    t.errno("nmi-null", Errno::EFAULT, hypercall(nr::NMI_OP, &[0, 0]));
    t.ret("callback-nmi", 0, register(kind::NMI, 0));
    t.ret("callback-unregister-nmi", 0, unregister(kind::NMI));
    pvkernel_xen::trap::install();
}
