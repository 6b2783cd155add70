//! Event delivery under every interleaving: no lost wake-up between the hypervisor's writes and a
//! guest that unmasks and consumes at the same time.
//!
//! Run with `RUSTFLAGS="--cfg loom" cargo test -p hv-core --release --test loom_evtchn`.
//! Locked instructions are full barriers; loom's stand-in for one is a fence after the access.
#![cfg(loom)]

use hv_core::evtchn::{set_pending, unmask, Delivery, EventWords};
use hypercall_abi::{EvtchnPort, VcpuId};
use loom::sync::atomic::{fence, AtomicU64, Ordering};
use loom::sync::Arc;
use loom::thread;

const VCPU: VcpuId = VcpuId::new(0);
const A: EvtchnPort = EvtchnPort::new(1);
const B: EvtchnPort = EvtchnPort::new(2);

/// One word of pending and mask bits, and one vCPU.
struct Words {
    pending: AtomicU64,
    mask: AtomicU64,
    selector: AtomicU64,
    upcall: AtomicU64,
}

impl Words {
    fn with_mask(mask: u64) -> Arc<Self> {
        Arc::new(Self {
            pending: AtomicU64::new(0),
            mask: AtomicU64::new(mask),
            selector: AtomicU64::new(0),
            upcall: AtomicU64::new(0),
        })
    }

    /// What a guest does when its upcall is delivered; returns the bits of the handled ports.
    fn consume(&self) -> u64 {
        let mut handled = 0;
        while locked(|| self.upcall.swap(0, Ordering::SeqCst)) != 0 {
            if locked(|| self.selector.swap(0, Ordering::SeqCst)) == 0 {
                continue;
            }
            let ready = self.pending.load(Ordering::Relaxed) & !self.mask.load(Ordering::Relaxed);
            locked(|| self.pending.fetch_and(!ready, Ordering::SeqCst));
            handled |= ready;
        }
        handled
    }

    /// Whether the guest will still be told of `port`.
    fn is_announced(&self, port: EvtchnPort) -> bool {
        self.is_pending(port)
            && !self.is_masked(port)
            && self.selector.load(Ordering::SeqCst) != 0
            && self.upcall.load(Ordering::SeqCst) != 0
    }
}

fn locked(access: impl FnOnce() -> u64) -> u64 {
    let old = access();
    fence(Ordering::SeqCst);
    old
}

fn bit(port: EvtchnPort) -> u64 {
    1 << port.get()
}

impl EventWords for Words {
    type Vcpu = VcpuId;
    fn test_and_set_pending(&self, port: EvtchnPort) -> bool {
        locked(|| self.pending.fetch_or(bit(port), Ordering::SeqCst)) & bit(port) != 0
    }
    fn is_pending(&self, port: EvtchnPort) -> bool {
        self.pending.load(Ordering::Relaxed) & bit(port) != 0
    }
    fn clear_pending(&self, port: EvtchnPort) {
        locked(|| self.pending.fetch_and(!bit(port), Ordering::SeqCst));
    }
    fn is_masked(&self, port: EvtchnPort) -> bool {
        self.mask.load(Ordering::Relaxed) & bit(port) != 0
    }
    fn test_and_clear_mask(&self, port: EvtchnPort) -> bool {
        locked(|| self.mask.fetch_and(!bit(port), Ordering::SeqCst)) & bit(port) != 0
    }
    fn test_and_set_selector(&self, _: VcpuId, word: u32) -> bool {
        locked(|| self.selector.fetch_or(1 << word, Ordering::SeqCst)) & (1 << word) != 0
    }
    fn test_and_set_upcall(&self, _: VcpuId) -> bool {
        locked(|| self.upcall.swap(1, Ordering::SeqCst)) != 0
    }
}

#[test]
fn an_event_sent_while_the_guest_consumes_is_handled_or_announced() {
    loom::model(|| {
        let words = Words::with_mask(0);
        set_pending(&*words, B, VCPU);
        let sender = {
            let words = words.clone();
            thread::spawn(move || set_pending(&*words, A, VCPU))
        };
        let handled = words.consume();
        sender.join().unwrap();
        assert_ne!(handled & bit(B), 0);
        assert!(handled & bit(A) != 0 || words.is_announced(A));
    });
}

#[test]
fn an_event_sent_while_the_guest_unmasks_is_handled_or_announced() {
    loom::model(|| {
        let words = Words::with_mask(bit(A));
        let sender = {
            let words = words.clone();
            thread::spawn(move || set_pending(&*words, A, VCPU))
        };
        // The guest unmasks by itself, as it may for a port of the vCPU it runs on.
        locked(|| words.mask.fetch_and(!bit(A), Ordering::SeqCst));
        if words.is_pending(A) && !words.test_and_set_selector(VCPU, 0) {
            words.test_and_set_upcall(VCPU);
        }
        let handled = words.consume();
        sender.join().unwrap();
        assert!(handled & bit(A) != 0 || words.is_announced(A));
    });
}

#[test]
fn an_event_sent_during_the_unmask_hypercall_is_announced() {
    loom::model(|| {
        let words = Words::with_mask(bit(A));
        let sender = {
            let words = words.clone();
            thread::spawn(move || set_pending(&*words, A, VCPU))
        };
        let kicked_by_unmask = unmask(&*words, A, VCPU);
        let delivery = sender.join().unwrap();
        assert!(words.is_announced(A));
        let kicked_by_send = delivery == Delivery::Raised { kick: true };
        assert!(kicked_by_send ^ kicked_by_unmask, "exactly one of the two kicks");
    });
}

#[test]
fn two_senders_kick_once_and_lose_nothing() {
    loom::model(|| {
        let words = Words::with_mask(0);
        let senders = [A, B].map(|port| {
            let words = words.clone();
            thread::spawn(move || set_pending(&*words, port, VCPU))
        });
        let kicks = senders.map(|s| s.join().unwrap() == Delivery::Raised { kick: true });
        assert!(kicks[0] ^ kicks[1], "exactly one sender kicks");
        assert_eq!(words.consume(), bit(A) | bit(B));
    });
}
