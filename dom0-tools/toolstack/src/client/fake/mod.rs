//! A small simulated hypervisor, for tests.
//!
//! It keeps domains, frames with contents, ports and mappings, and refuses what the real one would
//! refuse: memory beyond `max_mem`, a root table whose tables are mapped writable, an unpause
//! without a pause. Every call can be made to fail by its number, and `counts` tells what is in
//! use, so that a test can say "nothing was left behind".
//!
//! It is single-threaded and runs no guest code; what a guest would do, the test does.

mod calls;
mod kernel;
mod memory;
mod tables;
mod world;

pub use kernel::{tiny_kernel, tiny_kernel_with};
pub use memory::FakeMapping;
pub use world::Counts;

use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;
use core::cell::RefCell;
use hypercall_abi::io::console as ring;
use hypercall_abi::start_info::StartInfo;
use hypercall_abi::{DomId, Errno, EvtchnPort, Mfn, PAGE_SIZE};
use world::World;

/// The simulated hypervisor. Clones share one world.
#[derive(Clone)]
pub struct FakeHypervisor {
    world: Rc<RefCell<World>>,
}

impl FakeHypervisor {
    /// A machine with this much free memory and only domain 0.
    #[must_use]
    pub fn new(free_mib: u64) -> Self {
        Self { world: Rc::new(RefCell::new(World::new(free_mib * 256))) }
    }

    /// Makes the call with this number, counted from now on, fail.
    pub fn fail_call(&self, number: usize, errno: Errno) {
        let mut world = self.world.borrow_mut();
        world.calls.clear();
        world.fail_at = Some((number, errno));
    }

    /// Lets all calls succeed again, and forgets the calls made.
    pub fn heal(&self) {
        let mut world = self.world.borrow_mut();
        world.calls.clear();
        world.fail_at = None;
    }

    /// Names of the calls made since the last `heal` or `fail_call`.
    #[must_use]
    pub fn calls(&self) -> Vec<&'static str> {
        self.world.borrow().calls.clone()
    }

    /// What is in use.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.world.borrow().counts()
    }

    /// Sets the clock.
    pub fn set_time_ns(&self, now_ns: u64) {
        self.world.borrow_mut().now_ns = now_ns;
    }

    /// The next event port of the caller that was notified, oldest first.
    #[must_use]
    pub fn take_notification(&self) -> Option<EvtchnPort> {
        self.world.borrow_mut().notified.pop_front()
    }

    /// The guest shuts itself down.
    pub fn guest_shuts_down(&self, domain: DomId, reason: u32) {
        self.world.borrow_mut().shut_down(domain, reason);
    }

    /// Whether the guest may run: it is unpaused and has not shut down.
    #[must_use]
    pub fn is_runnable(&self, domain: DomId) -> bool {
        self.world.borrow().is_runnable(domain)
    }

    /// The frame in which the guest finds its console ring.
    #[must_use]
    pub fn console_frame(&self, domain: DomId) -> Option<Mfn> {
        self.world.borrow().start_info(domain).map(|info| info.console_mfn)
    }

    /// Overwrites a word of the guest's console page.
    pub fn guest_stores_console_word(&self, domain: DomId, offset: usize, value: u32) {
        if let Some(frame) = self.console_frame(domain) {
            self.world.borrow_mut().write(frame, offset, &value.to_le_bytes());
        }
    }

    /// The guest writes to its console ring, as much as fits; returns how much that was.
    pub fn guest_prints(&self, domain: DomId, text: &[u8]) -> usize {
        let Some(frame) = self.console_frame(domain) else { return 0 };
        let mut world = self.world.borrow_mut();
        let prod = world.load_u32(frame, ring::OFFSET_OUT_PROD);
        let cons = world.load_u32(frame, ring::OFFSET_OUT_CONS);
        let free = ring::OUT_SIZE - prod.wrapping_sub(cons) as usize;
        let len = text.len().min(free);
        for (index, byte) in text.iter().take(len).enumerate() {
            let at = prod.wrapping_add(index as u32) as usize % ring::OUT_SIZE;
            world.write(frame, ring::IN_SIZE + at, &[*byte]);
        }
        let prod = prod.wrapping_add(len as u32);
        world.write(frame, ring::OFFSET_OUT_PROD, &prod.to_le_bytes());
        len
    }

    /// The guest reads everything from its console ring.
    #[must_use]
    pub fn guest_reads(&self, domain: DomId) -> String {
        let Some(frame) = self.console_frame(domain) else { return String::new() };
        let mut world = self.world.borrow_mut();
        let prod = world.load_u32(frame, ring::OFFSET_IN_PROD);
        let mut cons = world.load_u32(frame, ring::OFFSET_IN_CONS);
        let mut text = String::new();
        while cons != prod {
            let mut byte = [0];
            world.read(frame, cons as usize % ring::IN_SIZE, &mut byte);
            text.push(char::from(byte[0]));
            cons = cons.wrapping_add(1);
        }
        world.write(frame, ring::OFFSET_IN_CONS, &cons.to_le_bytes());
        text
    }

    /// The first bytes of a frame that belongs to a domain, by its pseudo-physical number.
    #[must_use]
    pub fn guest_memory(&self, domain: DomId, pfn: u64, len: usize) -> Vec<u8> {
        self.world.borrow().guest_memory(domain, pfn, len)
    }

    /// The start page of a domain, found as the guest finds it.
    #[must_use]
    pub fn start_info(&self, domain: DomId) -> Option<StartInfo> {
        self.world.borrow().start_info(domain)
    }

    /// The bytes of the first entries of the list of machine frames a domain has.
    #[must_use]
    pub fn p2m_bytes(&self, domain: DomId, entries: u64) -> Vec<u8> {
        let world = self.world.borrow();
        let frames = world.domains.get(&domain.get()).map(|domain| &domain.frames);
        let mfns = (0..entries).filter_map(|pfn| frames.and_then(|frames| frames.get(&pfn)));
        mfns.flat_map(|mfn| mfn.get().to_le_bytes()).collect()
    }

    /// The shared page of a domain.
    #[must_use]
    pub fn shared_info(&self, domain: DomId) -> Vec<u8> {
        self.own_frame(domain, |domain| domain.shared_info)
    }

    /// The first page of the grant table of a domain.
    #[must_use]
    pub fn grant_table(&self, domain: DomId) -> Vec<u8> {
        self.own_frame(domain, |domain| domain.grant_table)
    }

    fn own_frame(&self, domain: DomId, which: impl Fn(&world::Domain) -> Mfn) -> Vec<u8> {
        let world = self.world.borrow();
        let mut bytes = alloc::vec![0; PAGE_SIZE];
        if let Some(domain) = world.domains.get(&domain.get()) {
            world.read(which(domain), 0, &mut bytes);
        }
        bytes
    }
}
