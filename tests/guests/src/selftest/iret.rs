//! The `iret` hypercall.
//!
//! The instruction `iretq` in ring 3 is not tested: QEMU's TCG reads its frame as if in ring 0, which
//! faults under a hypervisor that uses SMAP.

use core::sync::atomic::AtomicU64;

use crate::harness::Report;
use crate::probe::{iret, landing, Landed};
use hypercall_abi::regs::{IretContext, VGCF_IN_SYSCALL};
use pvkernel_xen::event;

const IF: u64 = 1 << 9;
const AC: u64 = 1 << 18;

/// A stack of its own: an event that waits is delivered on it.
static ROOM: [AtomicU64; 512] = [const { AtomicU64::new(0) }; 512];

fn stack() -> u64 {
    &raw const ROOM[511] as u64
}

fn frame() -> IretContext {
    IretContext {
        rax: 0xa1,
        r11: 0xa2,
        rcx: 0xa3,
        flags: 0,
        rip: landing(),
        cs: 0xe030,
        rflags: IF | 2,
        rsp: stack(),
        ss: 0xe02b,
    }
}

/// Runs the topic.
pub fn run(t: &mut Report) {
    let landed = |frame: &IretContext| iret(frame).map_err(|fault| fault.kind());
    let general = |landed: Result<Landed, (u64, u64)>| landed.map(|l| l.general);
    t.eq("registers", Ok([0xa1, 0xa3, 0xa2]), general(landed(&frame())));
    let all = landed(&frame()).map(|l| (l.rsp, l.selectors));
    t.eq("stack-and-selectors", Ok((stack(), [0xe033, 0xe02b])), all);
    let fast = IretContext { flags: VGCF_IN_SYSCALL, ..frame() };
    // The return by SYSRET leaves rip and flags in rcx and r11.
    t.eq("in-syscall", Ok([0xa1, landing(), IF | 2]), general(landed(&fast)));
    let selectors = landed(&IretContext { cs: 0, ss: 0, ..fast }).map(|l| l.selectors);
    t.eq("in-syscall-ignores-selectors", Ok([0xe033, 0xe02b]), selectors);
    masks(t);
    flags(t);
    bad(t);
}

/// The interrupt flag in the frame is the event mask.
fn masks(t: &mut Report) {
    let _ = iret(&IretContext { rflags: 2, ..frame() });
    t.check("flag-clear-masks-events", !event::mask_upcalls());
    let _ = iret(&frame());
    t.check("flag-set-unmasks-events", event::mask_upcalls());
    event::enable_upcalls();
}

fn flags(t: &mut Report) {
    let flags = |rflags: u64| {
        let landed = iret(&IretContext { rflags, ..frame() });
        event::enable_upcalls();
        landed.map(|l| l.rflags).map_err(|fault| fault.kind())
    };
    t.eq("flags-interrupts-stay-on", Ok(IF | 2), flags(2));
    t.eq("flags-iopl-is-dropped", Ok(IF | 2), flags(IF | 2 | 3 << 12));
    t.eq("flags-vm-is-dropped", Ok(IF | 2), flags(IF | 2 | 1 << 17));
    t.eq("flags-arithmetic", Ok(IF | 2 | 0x8d5), flags(IF | 2 | 0x8d5));
    t.eq("flags-direction", Ok(IF | 2 | 1 << 10), flags(IF | 2 | 1 << 10));
    t.eq("flags-alignment-check", Ok(IF | 2 | AC), flags(IF | 2 | AC));
}

/// A frame that the processor refuses is an exception of the guest at the target.
fn bad(t: &mut Report) {
    let fault = |frame: IretContext| {
        let result = iret(&frame).map_err(|fault| (fault.kind(), fault.rip));
        event::enable_upcalls();
        result.map(|landed| landed.general)
    };
    let at = landing();
    t.eq("cs-empty", Err(((13, 0x1230), at)), fault(IretContext { cs: 0x1230, ..frame() }));
    t.eq("cs-data", Err(((13, 0xe028), at)), fault(IretContext { cs: 0xe028, ..frame() }));
    t.eq("cs-hypervisor", Err(((13, 0xe008), at)), fault(IretContext { cs: 0xe008, ..frame() }));
    t.eq("cs-null", Err(((13, 0), at)), fault(IretContext { cs: 0, ..frame() }));
    t.eq("ss-empty", Err(((13, 0x1230), at)), fault(IretContext { ss: 0x1230, ..frame() }));
    t.eq("ss-code", Err(((13, 0xe030), at)), fault(IretContext { ss: 0xe033, ..frame() }));
    let far = 0x8000_0000_0000;
    let rip = fault(IretContext { rip: far, ..frame() });
    t.eq("rip-not-canonical", Err(((13, 0), far)), rip);
    let unmapped = fault(IretContext { rip: 0x7000, ..frame() });
    t.eq("rip-unmapped", Err(((14, 0x10), 0x7000)), unmapped);
}
