//! The console ring of an ordinary domain: a page shared with whoever reads it.
//!
//! Output never hangs: when nobody drains the ring for `STALL_LIMIT_NS`, the rest of the output is
//! dropped, and further output is dropped at once until somebody reads again. A domain must be able
//! to run, and to die, without an audience.

use core::ptr::NonNull;

use hypercall_abi::{EvtchnPort, Pfn};
use pv_ring::{ConsolePage, Consumer, Producer};

use crate::hypercall::{evtchn, sched};
use crate::{layout, time};

/// How long output waits for a reader that makes no progress.
const STALL_LIMIT_NS: u64 = 500_000_000;
/// How long one wait for the reader lasts at most.
const POLL_NS: u64 = 10_000_000;

/// Our end of the ring.
pub(crate) struct Ring {
    page: &'static ConsolePage,
    port: EvtchnPort,
    output: Producer,
    input: Consumer,
    stalled: bool,
}

impl Ring {
    /// The ring in the frame that the builder has set aside for it.
    pub(crate) fn attach(pfn: Pfn, port: EvtchnPort) -> Self {
        let page = core::ptr::with_exposed_provenance_mut(layout::initial_va(pfn) as usize);
        let page: NonNull<ConsolePage> = NonNull::new(page).expect("not the first page");
        // SAFETY: the builder mapped the console page in its mapping, where it stays; it consists of
        // atomics, so the other end may write to it at any time.
        let page: &'static ConsolePage = unsafe { page.as_ref() };
        Self {
            page,
            port,
            output: Producer::attach(&page.output()),
            input: Consumer::attach(&page.input()),
            stalled: false,
        }
    }

    /// What the other end notifies.
    pub(crate) const fn port(&self) -> EvtchnPort {
        self.port
    }

    /// Writes all bytes, or what fits when nobody reads.
    pub(crate) fn write(&mut self, mut bytes: &[u8]) {
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

    /// Reads what is there; the number of bytes.
    pub(crate) fn read(&mut self, buffer: &mut [u8]) -> usize {
        let count = self.input.read(&self.page.input(), buffer).unwrap_or(0);
        if count > 0 {
            let _ = evtchn::send(self.port);
        }
        count
    }
}
