//! Moving the vCPU's event words out of the shared page. Comes last: it cannot be undone.

use core::sync::atomic::Ordering;

use crate::harness::Report;
use crate::pages::Page;
use hypercall_abi::{Errno, VcpuId};
use pvkernel_xen::hypercall::evtchn;
use pvkernel_xen::{event, time};

const OFFSET: u32 = 128;

/// Runs the topic.
pub fn run(t: &mut Report) {
    let page = core::mem::ManuallyDrop::new(Page::new());
    let old_time = event::shared_info().u64_at(32 + 8).load(Ordering::Relaxed);
    event::mask_upcalls();
    event::dispatch();
    // SAFETY: the page belongs to the test and is never freed.
    let moved = unsafe { event::move_vcpu_info(page.pfn, OFFSET) };
    t.eq("register", Ok(()), moved);
    let info = event::vcpu_info();
    t.check("is-elsewhere", info.address() == page.va + u64::from(OFFSET));
    t.eq("mask-was-copied", 1, info.u8_at(1).load(Ordering::Relaxed));
    t.eq("one-upcall-is-pending", 1, info.u8_at(0).load(Ordering::Relaxed));
    t.eq("every-word-is-selected", u64::MAX, info.u64_at(8).load(Ordering::Relaxed));
    t.check("time-is-there", info.u64_at(32 + 8).load(Ordering::Relaxed) >= old_time);
    event::enable_upcalls();
    t.eq("upcall-came", 0, info.u8_at(0).load(Ordering::Relaxed));
    let port = evtchn::bind_ipi(VcpuId::new(0)).unwrap_or_default();
    t.eq("send", Ok(()), evtchn::send(port));
    t.check("events-arrive", event::is_raised());
    event::dispatch();
    let _ = evtchn::close(port);
    let before = time::now_ns();
    pvkernel_xen::thread::sleep_ns(2_000_000);
    t.check("timer-arrives", time::now_ns() >= before + 2_000_000);
    // SAFETY: must be refused.
    let again = unsafe { event::move_vcpu_info(page.pfn, OFFSET) };
    t.eq("register-twice", Err(Errno::EINVAL), again);
}
