//! Xenstore: the store of this machine, and the thread that serves the rings of domains.
//!
//! Services and the toolstack call the store directly, through [`local`]; domains reach it through the
//! ring page each was given, which is mapped here between `introduce` and `release`. What a request
//! means is decided in `zl-xenstore`; here pages are mapped, ports bound and bytes moved.
//!
//! Domains take turns: in each round every ring gets one bounded turn, then other threads run. The
//! locks here are held for one turn at most, never while waiting; they are taken in the order rings,
//! store.

mod page;

use crate::transport::ForeignFrames;
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, Ordering};
use hypercall_abi::{DomId, Errno, EvtchnPort, Mfn};
use page::RingPage;
use pv_xenbus::Registry;
use pvkernel_core::sync::Lock;
use pvkernel_xen::{event, thread};
use zl_toolstack::client::Access;
use zl_xenstore::line::{Line, Turn};
use zl_xenstore::{Effect, Hooks, Quota, Shared};

/// The ring of one domain.
struct Ring {
    domain: DomId,
    page: RingPage<ForeignFrames>,
    port: EvtchnPort,
    line: Line,
}

static STORE: Lock<Option<&'static Shared>> = Lock::new(None);
static RINGS: Lock<Vec<Ring>> = Lock::new(Vec::new());
static WORK: thread::WaitQueue = thread::WaitQueue::new();
static HAS_NEWS: AtomicBool = AtomicBool::new(false);

/// Makes the store, before anybody uses it.
pub fn init() {
    let hooks = Hooks { wake, effect: carry_out };
    *STORE.lock() = Some(Box::leak(Box::new(Shared::new(Quota::default(), hooks))));
}

/// The store, for the control domain's own threads. Its calls do not wait.
pub fn local() -> &'static dyn Registry {
    shared()
}

fn shared() -> &'static Shared {
    let store = *STORE.lock();
    store.expect("the store is made before any thread starts")
}

/// Serves the rings, for ever: the thread `xenstored`.
pub fn serve() {
    loop {
        WORK.wait_until(|| HAS_NEWS.swap(false, Ordering::AcqRel));
        let count = RINGS.lock().len();
        for index in 0..count {
            if turn(index).more {
                wake();
            }
        }
        // Somebody who asks all the time must not keep the others from running.
        thread::yield_now();
    }
}

/// One turn for one ring. Rings may come and go between turns; one that is passed over by that gets
/// its turn when its domain or an answer calls for it.
fn turn(index: usize) -> Turn {
    let mut rings = RINGS.lock();
    let Some(Ring { page, port, line, .. }) = rings.get_mut(index) else {
        return Turn::default();
    };
    let turn = shared().with(|server| line.turn(server, page));
    if turn.moved {
        // A domain that is gone does not hear it.
        let _ = event::notify(*port);
    }
    turn
}

/// There may be something to do; also the handler of all ports.
fn wake() {
    HAS_NEWS.store(true, Ordering::Release);
    WORK.wake_all();
}

fn carry_out(effect: Effect) -> Result<(), Errno> {
    match effect {
        Effect::Introduce { domain, frame, port } => {
            close(domain);
            open(domain, frame, port)
        }
        Effect::Release(domain) => {
            close(domain);
            Ok(())
        }
    }
}

fn open(domain: DomId, frame: Mfn, port: EvtchnPort) -> Result<(), Errno> {
    let page = RingPage(ForeignFrames::new(domain, &[frame], Access::ReadWrite)?);
    let line = Line::open(domain, &page);
    let port = event::bind_interdomain(domain, port)?;
    event::on_event(port, Box::new(wake));
    RINGS.lock().push(Ring { domain, page, port, line });
    Ok(())
}

fn close(domain: DomId) {
    let mut rings = RINGS.lock();
    let found = rings.iter().position(|ring| ring.domain == domain);
    let ring = found.map(|index| rings.remove(index));
    rings.shrink_to_fit();
    drop(rings);
    if let Some(ring) = ring {
        // One that is closed already is as wanted.
        let _ = event::unbind(ring.port);
        // A ring moved to another's place; nobody may miss a turn by that.
        wake();
    }
}
