//! Delivery in the 2-level ABI, one thread: every event is either visible to the guest's loop or
//! masked, after any sequence of sends, masks, unmasks and upcalls.

use std::cell::{Cell, RefCell};

use hv_core::evtchn::{set_pending, unmask, Delivery, EventWords};
use hypercall_abi::{EvtchnPort, VcpuId};
use proptest::prelude::*;

const PORTS: u32 = 130;
const VCPUS: usize = 2;

/// A shared page and two info structures.
struct Words {
    pending: RefCell<Vec<bool>>,
    mask: RefCell<Vec<bool>>,
    selector: [Cell<u64>; VCPUS],
    upcall: [Cell<bool>; VCPUS],
}

impl Words {
    fn new() -> Self {
        let flags = || RefCell::new(vec![false; PORTS as usize]);
        Self {
            pending: flags(),
            mask: flags(),
            selector: Default::default(),
            upcall: Default::default(),
        }
    }
}

fn at(port: EvtchnPort) -> usize {
    port.get() as usize
}

impl EventWords for Words {
    type Vcpu = VcpuId;
    fn test_and_set_pending(&self, port: EvtchnPort) -> bool {
        std::mem::replace(&mut self.pending.borrow_mut()[at(port)], true)
    }
    fn is_pending(&self, port: EvtchnPort) -> bool {
        self.pending.borrow()[at(port)]
    }
    fn clear_pending(&self, port: EvtchnPort) {
        self.pending.borrow_mut()[at(port)] = false;
    }
    fn is_masked(&self, port: EvtchnPort) -> bool {
        self.mask.borrow()[at(port)]
    }
    fn test_and_clear_mask(&self, port: EvtchnPort) -> bool {
        std::mem::replace(&mut self.mask.borrow_mut()[at(port)], false)
    }
    fn test_and_set_selector(&self, vcpu: VcpuId, word: u32) -> bool {
        let cell = &self.selector[vcpu.get() as usize];
        let old = cell.replace(cell.get() | 1 << word);
        old >> word & 1 == 1
    }
    fn test_and_set_upcall(&self, vcpu: VcpuId) -> bool {
        self.upcall[vcpu.get() as usize].replace(true)
    }
}

#[derive(Clone, Debug)]
enum Op {
    Send(u32),
    Mask(u32),
    Unmask(u32),
    /// The guest's upcall handler runs on a vCPU.
    Upcall(u32),
}

fn op() -> impl Strategy<Value = Op> {
    let port = || prop_oneof![1u32..6, 62u32..67, 127u32..PORTS];
    prop_oneof![
        4 => port().prop_map(Op::Send),
        1 => port().prop_map(Op::Mask),
        2 => port().prop_map(Op::Unmask),
        1 => (0..VCPUS as u32).prop_map(Op::Upcall),
    ]
}

/// Ports with even numbers notify vCPU 0, the others vCPU 1.
fn vcpu_of(port: u32) -> u32 {
    port % 2
}

fn upcall(words: &Words, vcpu: u32) -> Vec<u32> {
    let mut handled = Vec::new();
    let index = vcpu as usize;
    while words.upcall[index].replace(false) {
        let selected = words.selector[index].replace(0);
        for port in (0..PORTS).filter(|port| selected >> (port / 64) & 1 == 1) {
            let port_id = EvtchnPort::new(port);
            if words.is_pending(port_id) && !words.is_masked(port_id) && vcpu_of(port) == vcpu {
                words.clear_pending(port_id);
                handled.push(port);
            }
        }
    }
    handled
}

fn step(words: &Words, op: &Op) {
    match *op {
        Op::Send(port) => {
            let (port, vcpu) = (EvtchnPort::new(port), VcpuId::new(vcpu_of(port)));
            let was_pending = words.is_pending(port);
            let upcall_was_set = words.upcall[vcpu.get() as usize].get();
            match set_pending(words, port, vcpu) {
                Delivery::AlreadyPending => assert!(was_pending),
                Delivery::Masked => assert!(words.is_masked(port) && !was_pending),
                Delivery::Raised { kick } => {
                    assert!(!was_pending && !words.is_masked(port));
                    assert_eq!(kick, !upcall_was_set, "a kick exactly when the upcall is new");
                }
            }
        }
        Op::Mask(port) => words.mask.borrow_mut()[port as usize] = true,
        Op::Unmask(port) => {
            let vcpu = VcpuId::new(vcpu_of(port));
            unmask(words, EvtchnPort::new(port), vcpu);
            assert!(!words.is_masked(EvtchnPort::new(port)));
        }
        Op::Upcall(vcpu) => {
            upcall(words, vcpu);
        }
    }
}

proptest! {
    #[test]
    fn a_pending_unmasked_port_always_has_its_selector_and_upcall(
        ops in proptest::collection::vec(op(), 1..100),
    ) {
        let words = Words::new();
        for op in &ops {
            step(&words, op);
            for port in (0..PORTS).map(EvtchnPort::new) {
                if words.is_pending(port) && !words.is_masked(port) {
                    let vcpu = vcpu_of(port.get()) as usize;
                    prop_assert!(words.selector[vcpu].get() >> (port.get() / 64) & 1 == 1);
                    prop_assert!(words.upcall[vcpu].get());
                }
            }
        }
    }
}

#[test]
fn the_last_port_uses_the_last_selector_bit() {
    struct Last(Cell<u32>);
    impl EventWords for Last {
        type Vcpu = VcpuId;
        fn test_and_set_pending(&self, _: EvtchnPort) -> bool {
            false
        }
        fn is_pending(&self, _: EvtchnPort) -> bool {
            true
        }
        fn clear_pending(&self, _: EvtchnPort) {}
        fn is_masked(&self, _: EvtchnPort) -> bool {
            false
        }
        fn test_and_clear_mask(&self, _: EvtchnPort) -> bool {
            true
        }
        fn test_and_set_selector(&self, _: VcpuId, word: u32) -> bool {
            self.0.set(word);
            false
        }
        fn test_and_set_upcall(&self, _: VcpuId) -> bool {
            false
        }
    }
    let words = Last(Cell::new(0));
    let delivery = set_pending(&words, EvtchnPort::new(4095), VcpuId::new(0));
    assert_eq!(delivery, Delivery::Raised { kick: true });
    assert_eq!(words.0.get(), 63);
}
