//! `pair`: two domains that hand the processor to each other, to count what a switch costs.
//!
//! One is started with `offer=DOMAIN` on its command line, the number the other will get, and prints
//! the port it offers; the other with `peer=DOMAIN port=PORT`. Each notifies the other and polls for
//! the answer, with upcalls masked: a round is two notifications, two polls that block, and, with one
//! CPU, two switches. That each happened is seen from the pending bit, which only the other end can
//! have set: it is clear before each notification and taken once after it.
#![cfg_attr(target_os = "none", no_std)]
#![no_main]

use core::sync::atomic::Ordering;
use hypercall_abi::shared_info::{OFFSET_EVTCHN_MASK, OFFSET_EVTCHN_PENDING};
use hypercall_abi::{DomId, EvtchnPort};
use pvkernel_xen::boot::BootInfo;
use pvkernel_xen::hypercall::sched;
use pvkernel_xen::{event, power, println, thread, time};

pvkernel_xen::entry!(run);

const ROUNDS: u64 = 1000;
const REPETITIONS: usize = 7;

fn run(boot: &'static BootInfo) -> ! {
    let args = boot.args();
    let domain = |key| Some(DomId::new(u16::try_from(args.number(key)?).ok()?));
    match (domain("offer"), domain("peer"), args.number("port")) {
        (Some(remote), None, None) => answer(remote),
        (None, Some(remote), Some(port)) => ask(remote, EvtchnPort::new(port as u32)),
        _ => println!("ZENDO-TEST pair ERROR the words are offer=DOMAIN, or peer=DOMAIN port=PORT"),
    }
    power::poweroff()
}

/// Answers each notification, for ever.
fn answer(remote: DomId) {
    let port = event::alloc_unbound(remote).map(End::new);
    let Ok(end) = port else { return println!("ZENDO-TEST pair ERROR no port for {remote}") };
    println!("pair: port {}", end.port);
    // What was printed has to leave before events are masked.
    thread::sleep_ns(1_000_000);
    event::mask_upcalls();
    loop {
        end.wait();
        end.notify();
    }
}

/// Counts rounds.
fn ask(remote: DomId, port: EvtchnPort) {
    let bound = event::bind_interdomain(remote, port).map(End::new);
    let Ok(end) = bound else { return println!("ZENDO-TEST pair ERROR no port {port} there") };
    event::mask_upcalls();
    // Binding may have made the port pending.
    end.take();
    let mut early = 0;
    let mut best = u64::MAX;
    for _ in 0..REPETITIONS {
        let start = time::tsc();
        for _ in 0..ROUNDS {
            early += u64::from(end.take());
            end.notify();
            end.wait();
        }
        best = best.min(time::tsc() - start);
    }
    event::enable_upcalls();
    println!("pair: switches={} ticks={best}", 2 * ROUNDS);
    match early {
        0 => println!("ZENDO-TEST pair SUCCESS {} rounds", ROUNDS * REPETITIONS as u64),
        _ => println!("ZENDO-TEST pair FAILURE {early} answers came unasked"),
    }
}

/// One end of a channel, masked.
struct End {
    port: EvtchnPort,
    word: usize,
    bit: u64,
}

impl End {
    fn new(port: EvtchnPort) -> Self {
        let (word, bit) = (port.get() as usize / 64 * 8, 1 << (port.get() % 64));
        event::shared_info().u64_at(OFFSET_EVTCHN_MASK + word).fetch_or(bit, Ordering::SeqCst);
        Self { port, word, bit }
    }

    /// Takes the pending bit; whether it was set.
    fn take(&self) -> bool {
        let pending = event::shared_info().u64_at(OFFSET_EVTCHN_PENDING + self.word);
        pending.fetch_and(!self.bit, Ordering::SeqCst) & self.bit != 0
    }

    /// Waits until the other end has notified.
    fn wait(&self) {
        while !self.take() {
            sched::poll(&[self.port], 0).expect("the port is ours");
        }
    }

    fn notify(&self) {
        event::notify(self.port).expect("the port is connected");
    }
}
