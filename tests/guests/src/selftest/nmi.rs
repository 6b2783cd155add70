//! The non-maskable interrupt of a vCPU.

use core::sync::atomic::{AtomicU32, Ordering};

use crate::harness::{hypercall, Report};
use hypercall_abi::vcpu::SEND_NMI;
use hypercall_abi::{nr, Errno};
use pvkernel_xen::event;
use pvkernel_xen::trap::{self, TrapFrame};

static COUNT: AtomicU32 = AtomicU32::new(0);
static FLAGS: AtomicU32 = AtomicU32::new(0);

fn send() -> i64 {
    hypercall(nr::VCPU_OP, &[SEND_NMI.into(), 0, 0])
}

fn count_one(frame: &mut TrapFrame) -> bool {
    COUNT.fetch_add(1, Ordering::Relaxed);
    let mask = u32::from(event::mask_upcalls());
    FLAGS.store((frame.cs >> 32 & 0xff) as u32 | mask << 8, Ordering::Relaxed);
    true
}

/// Sends another one from within the first; it must wait for the return.
fn send_from_within(frame: &mut TrapFrame) -> bool {
    if COUNT.load(Ordering::Relaxed) == 0 {
        let _ = send();
        FLAGS.store(COUNT.load(Ordering::Relaxed), Ordering::Relaxed);
    }
    count_two(frame)
}

fn count_two(_: &mut TrapFrame) -> bool {
    COUNT.fetch_add(1, Ordering::Relaxed);
    true
}

/// Runs the topic.
pub fn run(t: &mut Report) {
    // SAFETY: the handlers leave the frame alone.
    unsafe { trap::set_hook(2, Some(count_one)) };
    COUNT.store(0, Ordering::Relaxed);
    t.ret("send", 0, send());
    t.eq("arrives-at-once", 1, COUNT.load(Ordering::Relaxed));
    // The mask was open before and closed on entry.
    t.eq("masks-events", 0, FLAGS.load(Ordering::Relaxed));
    t.check("mask-open-again", event::mask_upcalls());
    COUNT.store(0, Ordering::Relaxed);
    t.ret("send-while-events-are-masked", 0, send());
    t.eq("arrives-although-masked", 1, COUNT.load(Ordering::Relaxed));
    event::enable_upcalls();
    // SAFETY: as above.
    unsafe { trap::set_hook(2, Some(send_from_within)) };
    COUNT.store(0, Ordering::Relaxed);
    FLAGS.store(99, Ordering::Relaxed);
    t.ret("send-nested", 0, send());
    t.eq("second-waits-for-the-return", 0, FLAGS.load(Ordering::Relaxed));
    t.eq("second-arrives-then", 2, COUNT.load(Ordering::Relaxed));
    // SAFETY: no handler leaves the frame alone.
    unsafe { trap::set_hook(2, None) };
    let unknown = hypercall(nr::VCPU_OP, &[SEND_NMI.into(), 77, 0]);
    t.errno("send-to-unknown-vcpu", Errno::ENOENT, unknown);
}
