//! The console: the hypervisor's own for the control domain, a shared ring for all others.
//!
//! Output never hangs: when nobody drains the ring for `STALL_LIMIT_NS`, the rest of the output is
//! dropped, and further output is dropped at once until somebody reads again. A domain must be able
//! to run, and to die, without an audience.

use alloc::collections::VecDeque;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicBool, Ordering};

use hypercall_abi::start_info::Sif;
use hypercall_abi::{EvtchnPort, Pfn, Virq};
use pv_ring::{ConsolePage, Consumer, Producer};
use pvkernel_core::sync::Lock;

use crate::boot::BootInfo;
use crate::hypercall::{evtchn, misc, sched};
use crate::thread::WaitQueue;
use crate::{event, layout, p2m, time};

/// How long output waits for a reader that makes no progress.
const STALL_LIMIT_NS: u64 = 500_000_000;
/// How long one wait for the reader lasts at most.
const POLL_NS: u64 = 10_000_000;

struct Ring {
    page: &'static ConsolePage,
    port: EvtchnPort,
    output: Producer,
    input: Consumer,
    stalled: bool,
}

enum Backend {
    Hypervisor,
    Ring(Ring),
}

/// Bytes kept until somebody reads them.
const TYPED_AHEAD: usize = 4096;

struct State {
    backend: Backend,
    typed: VecDeque<u8>,
}

static STATE: Lock<State> =
    Lock::new(State { backend: Backend::Hypervisor, typed: VecDeque::new() });
static INPUT: WaitQueue = WaitQueue::new();
static EMERGENCY: AtomicBool = AtomicBool::new(false);

/// The console as a device of `pvkernel-core`.
struct XenConsole;

impl pvkernel_core::platform::Console for XenConsole {
    fn write(&self, bytes: &[u8]) {
        write(bytes);
    }

    fn read_byte(&self) -> Option<u8> {
        read_byte()
    }
}

/// The console as a platform device.
pub(crate) fn device() -> &'static dyn pvkernel_core::platform::Console {
    &XenConsole
}

/// Chooses the backend; output works from here on, input after `start_input`.
pub(crate) fn init(boot: &BootInfo) {
    pvkernel_core::console::install(device());
    if boot.flags.contains(Sif::INITDOMAIN) {
        return;
    }
    if let Some(pfn) = p2m::pfn(boot.console_mfn) {
        STATE.lock().backend = Backend::Ring(attach(pfn, boot.console_evtchn));
    }
}

fn attach(pfn: Pfn, port: EvtchnPort) -> Ring {
    let page = core::ptr::with_exposed_provenance_mut(layout::initial_va(pfn) as usize);
    let page: NonNull<ConsolePage> = NonNull::new(page).expect("not the first page");
    // SAFETY: the builder mapped the console page in its mapping, where it stays; it consists of
    // atomics, so the other end may write to it at any time.
    let page: &'static ConsolePage = unsafe { page.as_ref() };
    Ring {
        page,
        port,
        output: Producer::attach(&page.output()),
        input: Consumer::attach(&page.input()),
        stalled: false,
    }
}

/// Lets input wake readers; needs heap and events.
pub(crate) fn start_input() {
    let wake = || INPUT.wake_all();
    let port = match &STATE.lock().backend {
        Backend::Ring(ring) => Some(ring.port),
        Backend::Hypervisor => None,
    };
    match port {
        Some(port) => event::on_event(port, alloc::boxed::Box::new(wake)),
        // An ordinary domain without ring has no input either; the refusal changes nothing.
        None => drop(event::bind_virq(Virq::CONSOLE, wake)),
    }
}

/// Writes all bytes, or what fits when nobody reads.
pub fn write(bytes: &[u8]) {
    if EMERGENCY.load(Ordering::Relaxed) {
        match STATE.try_lock() {
            Some(mut state) => state.write(bytes),
            None => drop(misc::console_write(bytes)),
        }
    } else {
        STATE.lock().write(bytes);
    }
}

/// The next byte typed, if there is one.
pub fn read_byte() -> Option<u8> {
    let mut state = STATE.lock();
    state.fill();
    state.typed.pop_front()
}

/// Waits until there is a byte to read.
pub fn wait_input() {
    INPUT.wait_until(|| {
        let mut state = STATE.lock();
        state.fill();
        !state.typed.is_empty()
    });
}

/// Runs `describe` although locks may be held: for the last words before the domain dies.
pub fn emergency(describe: impl FnOnce()) {
    EMERGENCY.store(true, Ordering::Relaxed);
    describe();
}

impl State {
    fn write(&mut self, bytes: &[u8]) {
        match &mut self.backend {
            // Ordinary domains are refused on release builds of Xen: nobody would see it anyway.
            Backend::Hypervisor => drop(misc::console_write(bytes)),
            Backend::Ring(ring) => {
                for line in bytes.split_inclusive(|byte| *byte == b'\n') {
                    match line.strip_suffix(b"\n") {
                        Some(text) => {
                            ring.write(text);
                            ring.write(b"\r\n");
                        }
                        None => ring.write(line),
                    }
                }
            }
        }
    }

    fn fill(&mut self) {
        let mut buffer = [0; 64];
        loop {
            let count = match &mut self.backend {
                Backend::Hypervisor => misc::console_read(&mut buffer).unwrap_or(0),
                Backend::Ring(ring) => ring.read(&mut buffer),
            };
            // One reservation for good, and no more: what is typed ahead beyond it is lost.
            if self.typed.capacity() == 0 {
                self.typed.reserve_exact(TYPED_AHEAD);
            }
            let room = TYPED_AHEAD.saturating_sub(self.typed.len());
            self.typed.extend(&buffer[..count.min(room)]);
            if count < buffer.len() {
                return;
            }
        }
    }
}

impl Ring {
    fn write(&mut self, mut bytes: &[u8]) {
        let mut limit_ns = None;
        while !bytes.is_empty() {
            // A corrupt ring has no reader that could be waited for.
            let Ok(count) = self.output.write(&self.page.output(), bytes) else { return };
            bytes = &bytes[count..];
            if count > 0 {
                self.stalled = false;
                limit_ns = None;
                // Without an other end yet, the console service will look by itself.
                let _ = evtchn::send(self.port);
            } else if self.stalled {
                return;
            } else {
                let now_ns = time::now_ns();
                let limit_ns = *limit_ns.get_or_insert(now_ns + STALL_LIMIT_NS);
                self.stalled = now_ns >= limit_ns;
                // The reader notifies us; if the upcall took the event before, time runs out.
                let _ = sched::poll(&[self.port], now_ns + POLL_NS);
            }
        }
    }

    fn read(&mut self, buffer: &mut [u8]) -> usize {
        let count = self.input.read(&self.page.input(), buffer).unwrap_or(0);
        if count > 0 {
            let _ = evtchn::send(self.port);
        }
        count
    }
}
