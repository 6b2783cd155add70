//! Delivery of events: pending bits, masks, selector, upcalls.

use crate::harness::Report;
use core::sync::atomic::{AtomicU32, Ordering};
use hypercall_abi::{DomId, EvtchnPort, VcpuId};
use pvkernel_xen::event;
use pvkernel_xen::hypercall::{evtchn, version};
use pvkernel_xen::shared::SharedMemory;

const PENDING: usize = 0x800;
const MASK: usize = 0xa00;
const UPCALL_PENDING: usize = 0;
const UPCALL_MASK: usize = 1;
const SELECTOR: usize = 8;

static COUNT: AtomicU32 = AtomicU32::new(0);

struct Port {
    page: &'static SharedMemory,
    port: EvtchnPort,
}

impl Port {
    fn word(&self, base: usize) -> &core::sync::atomic::AtomicU64 {
        self.page.u64_at(base + 8 * (self.port.get() as usize / 64))
    }

    fn bit(&self) -> u64 {
        1 << (self.port.get() % 64)
    }

    fn is_set(&self, base: usize) -> bool {
        self.word(base).load(Ordering::SeqCst) & self.bit() != 0
    }

    fn set(&self, base: usize, value: bool) {
        if value {
            self.word(base).fetch_or(self.bit(), Ordering::SeqCst);
        } else {
            self.word(base).fetch_and(!self.bit(), Ordering::SeqCst);
        }
    }

    fn selected(&self) -> bool {
        self.page.u64_at(SELECTOR).load(Ordering::SeqCst) & 1 << (self.port.get() / 64) != 0
    }

    fn upcall_pending(&self) -> bool {
        self.page.u8_at(UPCALL_PENDING).load(Ordering::SeqCst) != 0
    }

    /// Forgets everything about the port, as if nothing had been sent.
    fn calm(&self) {
        self.set(PENDING, false);
        self.page.u64_at(SELECTOR).store(0, Ordering::SeqCst);
        self.page.u8_at(UPCALL_PENDING).store(0, Ordering::SeqCst);
    }
}

/// Runs the topic.
pub fn run(t: &mut Report) {
    let port = evtchn::bind_ipi(VcpuId::new(0)).unwrap_or_default();
    let port = Port { page: event::shared_info(), port };
    handler_runs(t, &port);
    let mask = silence_others(&port);
    event::mask_upcalls();
    masks(t, &port);
    unmask(t, &port);
    event::enable_upcalls();
    on_return(t, &port);
    restore_others(&port, mask);
    let _ = event::unbind(port.port);
    new_ports_are_quiet(t);
    bind_raises_once(t);
}

/// Masks the other ports of the word: the console may notify at any time. Returns the old mask.
fn silence_others(port: &Port) -> u64 {
    event::mask_upcalls();
    let mask = port.word(MASK).swap(!port.bit(), Ordering::SeqCst);
    event::enable_upcalls();
    mask
}

/// Restores the masks and lets what came meanwhile be seen.
fn restore_others(port: &Port, mask: u64) {
    event::mask_upcalls();
    port.word(MASK).store(mask, Ordering::SeqCst);
    let word = port.port.get() / 64;
    event::vcpu_info().u64_at(SELECTOR).fetch_or(1 << word, Ordering::SeqCst);
    event::vcpu_info().u8_at(UPCALL_PENDING).store(1, Ordering::SeqCst);
    event::enable_upcalls();
    event::dispatch();
}

fn handler_runs(t: &mut Report, port: &Port) {
    event::on_event(
        port.port,
        alloc::boxed::Box::new(|| {
            COUNT.fetch_add(1, Ordering::Relaxed);
        }),
    );
    COUNT.store(0, Ordering::Relaxed);
    let _ = evtchn::send(port.port);
    pvkernel_xen::thread::yield_now();
    t.eq("sent-event-runs-its-handler", 1, COUNT.load(Ordering::Relaxed));
    t.check("handled-event-is-not-pending", !port.is_set(PENDING) && !port.upcall_pending());
}

fn masks(t: &mut Report, port: &Port) {
    port.calm();
    let _ = evtchn::send(port.port);
    t.check("masked-vcpu-pending", port.is_set(PENDING) && port.selected());
    t.check("masked-vcpu-upcall-pending", port.upcall_pending());
    port.calm();
    port.set(MASK, true);
    let _ = evtchn::send(port.port);
    t.check("masked-port-is-pending", port.is_set(PENDING));
    t.check("masked-port-raises-nothing", !port.selected() && !port.upcall_pending());
    let _ = evtchn::send(port.port);
    t.check("pending-port-stays-pending", port.is_set(PENDING) && !port.selected());
}

fn unmask(t: &mut Report, port: &Port) {
    t.eq("unmask", Ok(()), evtchn::unmask(port.port));
    t.check("unmask-with-pending-bit-raises", port.selected() && port.upcall_pending());
    t.check("unmask-clears-the-mask", !port.is_set(MASK));
    port.calm();
    port.set(MASK, true);
    let _ = evtchn::unmask(port.port);
    t.check("unmask-without-pending-is-quiet", !port.selected() && !port.upcall_pending());
    port.set(PENDING, true);
    let _ = evtchn::unmask(port.port);
    t.check("unmask-of-unmasked-is-quiet", !port.selected() && !port.upcall_pending());
    let _ = evtchn::send(port.port);
    t.check("send-to-pending-is-quiet", !port.selected() && !port.upcall_pending());
    port.calm();
}

/// Opening the mask byte raises nothing by itself; the next hypercall that returns does.
fn on_return(t: &mut Report, port: &Port) {
    event::mask_upcalls();
    COUNT.store(0, Ordering::Relaxed);
    let _ = evtchn::send(port.port);
    port.page.u8_at(UPCALL_MASK).store(0, Ordering::SeqCst);
    version::force_callback();
    t.check("hypercall-return-delivers", !port.upcall_pending() && event::is_raised());
    event::dispatch();
    t.eq("delivered-once", 1, COUNT.load(Ordering::Relaxed));
    let unmasked = port.page.u8_at(UPCALL_MASK).load(Ordering::SeqCst) == 0;
    t.check("mask-open-after-upcall", unmasked);
    // A flag without any event: the upcall comes and finds nothing.
    port.page.u8_at(UPCALL_PENDING).store(1, Ordering::SeqCst);
    version::force_callback();
    t.check("spurious-upcall", !port.upcall_pending() && !event::is_raised());
}

fn new_ports_are_quiet(t: &mut Report) {
    let page = event::shared_info();
    let first = evtchn::alloc_unbound(DomId::SELF, DomId::SELF).unwrap_or_default();
    let port = Port { page, port: first };
    port.set(PENDING, true);
    let _ = evtchn::close(first);
    t.check("close-clears-pending", !port.is_set(PENDING));
}

fn bind_raises_once(t: &mut Report) {
    event::mask_upcalls();
    let offered = evtchn::alloc_unbound(DomId::SELF, DomId::SELF).unwrap_or_default();
    let bound = evtchn::bind_interdomain(DomId::SELF, offered).unwrap_or_default();
    let (near, far) = (
        Port { page: event::shared_info(), port: bound },
        Port { page: event::shared_info(), port: offered },
    );
    t.check("bind-interdomain-raises-local-port", near.is_set(PENDING));
    t.check("bind-interdomain-leaves-remote-port", !far.is_set(PENDING));
    let _ = evtchn::send(bound);
    t.check("send-reaches-the-other-end", far.is_set(PENDING));
    let _ = (evtchn::close(bound), evtchn::close(offered));
    near.calm();
    far.calm();
    restore_others(&near, near.word(MASK).load(Ordering::SeqCst));
}
