//! What a hostile domain can do to the store: write anything into its ring page, and ask for ever.

use hypercall_abi::io::xs_wire::{
    CONNECTED, ERROR_NONE, ERROR_PROTO, ERROR_RINGIDX, RECONNECT, RING_SIZE,
};
use hypercall_abi::Pfn;
use pv_ring::{ByteRing, Consumer, Producer, XenstorePage};
use pv_xenbus::wire::{self, Message};
use pv_xenbus::Tx;
use pvkernel_xen::boot::BootInfo;
use pvkernel_xen::{event, layout, p2m, println, thread, time};

use alloc::format;
use alloc::vec::Vec;
use core::sync::atomic::Ordering;

const MS: u64 = 1_000_000;
/// How long the store may take for anything.
const WITHIN_NS: u64 = 10_000 * MS;

struct Ring {
    page: &'static XenstorePage,
    boot: &'static BootInfo,
}

/// Misuses the store for ever.
pub fn run(boot: &'static BootInfo) -> ! {
    let Some(page) = page(boot) else {
        println!("ZENDO-TEST storer-abuse ERROR no ring page");
        pvkernel_xen::power::poweroff()
    };
    let ring = Ring { page, boot };
    let verdict = ring.nonsense();
    match verdict {
        Ok(()) => println!("ZENDO-TEST storer-abuse SUCCESS the store goes on after nonsense"),
        Err(what) => println!("ZENDO-TEST storer-abuse FAILURE {what}"),
    }
    ring.ask_for_ever()
}

fn page(boot: &BootInfo) -> Option<&'static XenstorePage> {
    let is_it = |pfn: &Pfn| p2m::mfn(*pfn) == Some(boot.store_mfn);
    let pfn = (0..p2m::count() as u64).map(Pfn::new).find(is_it)?;
    let page = core::ptr::with_exposed_provenance::<XenstorePage>(layout::initial_va(pfn) as usize);
    // SAFETY: the builder mapped the store's page in its mapping, where it stays; it consists of
    // atomics, so the other end may write to it at any time.
    unsafe { page.as_ref() }
}

impl Ring {
    /// Each kind of damage is reported in the page, and undone by starting over.
    fn nonsense(&self) -> Result<(), &'static str> {
        self.start_over()?;
        self.page.requests().store_prod(self.page.requests().load_cons().wrapping_add(5000));
        self.fails_with(ERROR_RINGIDX)?;
        self.start_over()?;
        self.page.responses().store_cons(self.page.responses().load_prod().wrapping_add(9));
        self.fails_with(ERROR_RINGIDX)?;
        self.start_over()?;
        self.write(&[0xff; 64]);
        self.fails_with(ERROR_PROTO)?;
        self.start_over()?;
        self.floods_without_reading();
        self.start_over()?;
        self.is_answered()
    }

    fn notify(&self) {
        // Without the other end nothing happens, and the deadline says so.
        let _ = event::notify(self.boot.store_evtchn);
    }

    fn wait_for(&self, condition: impl Fn() -> bool) -> bool {
        let limit_ns = time::now_ns() + WITHIN_NS;
        while time::now_ns() < limit_ns {
            if condition() {
                return true;
            }
            thread::sleep_ns(MS);
        }
        false
    }

    fn start_over(&self) -> Result<(), &'static str> {
        self.page.connection().store(RECONNECT, Ordering::Release);
        self.notify();
        let is_done = || self.page.connection().load(Ordering::Acquire) == CONNECTED;
        match self.wait_for(is_done) && self.page.error().load(Ordering::Acquire) == ERROR_NONE {
            true => Ok(()),
            false => Err("the store does not start over"),
        }
    }

    fn fails_with(&self, error: u32) -> Result<(), &'static str> {
        self.notify();
        match self.wait_for(|| self.page.error().load(Ordering::Acquire) == error) {
            true => Ok(()),
            false => Err("the error is not reported"),
        }
    }

    fn write(&self, bytes: &[u8]) -> usize {
        let mut requests = Producer::attach(&self.page.requests());
        let written = requests.write(&self.page.requests(), bytes).unwrap_or(0);
        self.notify();
        written
    }

    /// Fills the ring with requests again and again, and never reads an answer.
    fn floods_without_reading(&self) {
        let request = Message::new(wire::XS_READ, 1, Tx::NONE, wire::strings(&[b"domid"])).encode();
        for _ in 0..200 {
            self.write(&request);
        }
        thread::sleep_ns(50 * MS);
    }

    fn is_answered(&self) -> Result<(), &'static str> {
        let request = Message::new(wire::XS_READ, 1, Tx::NONE, wire::strings(&[b"domid"]));
        self.write(&request.encode());
        let waiting = || {
            Consumer::attach(&self.page.responses()).available(&self.page.responses()).unwrap_or(0)
        };
        match self.wait_for(|| waiting() > 0) {
            true => Ok(()),
            false => Err("no answer after starting over"),
        }
    }

    /// Watches, transactions, writes, and more of them, as fast as they are taken.
    fn ask_for_ever(&self) -> ! {
        let mut requests = Producer::attach(&self.page.requests());
        let mut responses = Consumer::attach(&self.page.responses());
        let mut queue: Vec<u8> = Vec::new();
        for number in 0u32.. {
            if queue.is_empty() {
                queue = request(number).encode();
            }
            let written = requests.write(&self.page.requests(), &queue).unwrap_or(0);
            queue.drain(..written);
            let read = responses.read(&self.page.responses(), &mut [0; RING_SIZE]).unwrap_or(0);
            if written + read > 0 {
                self.notify();
            }
            if written == 0 {
                thread::yield_now();
            }
        }
        unreachable!("the end of time")
    }
}

fn request(number: u32) -> Message {
    let text = format!("{number}");
    let (kind, payload) = match number % 5 {
        0 => (wire::XS_WATCH, wire::strings(&[b"data", text.as_bytes()])),
        1 => (wire::XS_TRANSACTION_START, Vec::from([0])),
        2 => (wire::XS_WRITE, [format!("data/{number}\0").as_bytes(), &[7; 1900]].concat()),
        3 => (wire::XS_DIRECTORY, wire::strings(&[b"data"])),
        _ => (wire::XS_RM, wire::strings(&[b"data/x"])),
    };
    Message::new(kind, number, Tx::NONE, payload)
}
