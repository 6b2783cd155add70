//! The services of the control domain, as kernel threads.
//!
//! `xenstored` serves the rings of the store (see there). `consoles` serves the console rings of
//! domains when their ports fire; `watcher` acts on domains that ended when the hypervisor says so;
//! `devices` looks at the back halves that somebody waits for. They share the toolstack with the shell:
//! threads are cooperative, so nobody may wait while holding it.

use crate::transport::Xen;
use crate::{blkback, files, ip, netback, screen, xenstored, zld};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use hypercall_abi::evtchn::NR_CHANNELS_2L;
use hypercall_abi::{EvtchnPort, Virq};
use pv_xenbus::WatchSink;
use pvkernel_core::sync::{Lock, LockGuard};
use pvkernel_xen::boot::BootInfo;
use pvkernel_xen::{event, println, thread};
use zl_client::{Token, TOKEN_FILE};
use zl_toolstack::archive::Archive;
use zl_toolstack::staged::Staged;
use zl_toolstack::Toolstack;

/// The toolstack of this machine.
pub type Stack = Toolstack<'static, Xen>;

/// How long the threads get to settle before the first prompt.
const SETTLE_NS: u64 = 1_000_000;

static STACK: Lock<Option<Stack>> = Lock::new(None);
static WORK: thread::WaitQueue = thread::WaitQueue::new();
static DOMAINS_CHANGED: AtomicBool = AtomicBool::new(false);
static BACKS_CHANGED: AtomicBool = AtomicBool::new(false);
/// Where back halves say what they do.
const BACKS: [&str; 2] = ["/local/domain/0/backend", "/local/domain/0/error"];
/// One bit per port that fired.
static FIRED: [AtomicU64; NR_CHANNELS_2L as usize / 64] =
    [const { AtomicU64::new(0) }; NR_CHANNELS_2L as usize / 64];

/// The toolstack, for a moment: the holder must not wait or yield.
pub struct StackGuard(LockGuard<'static, Option<Stack>>);

impl core::ops::Deref for StackGuard {
    type Target = Stack;

    fn deref(&self) -> &Stack {
        self.0.as_ref().expect("the toolstack is made before any thread starts")
    }
}

impl core::ops::DerefMut for StackGuard {
    fn deref_mut(&mut self) -> &mut Stack {
        self.0.as_mut().expect("the toolstack is made before any thread starts")
    }
}

/// Takes the toolstack.
pub fn stack() -> StackGuard {
    StackGuard(STACK.lock())
}

/// Makes the toolstack and starts the threads.
pub fn start(boot: &'static BootInfo) {
    let mut archive = match boot.ramdisk.map(Archive::parse) {
        Some(Ok(archive)) => archive,
        Some(Err(error)) => {
            println!("dom0: the boot archive is unusable: {error}");
            Archive::default()
        }
        None => {
            println!("dom0: no boot archive; add ',FILE' behind the dom0 image in -initrd");
            Archive::default()
        }
    };
    let token = archive.take(TOKEN_FILE).and_then(|digits| core::str::from_utf8(digits).ok());
    files::start();
    xenstored::init();
    *STACK.lock() = Some(Toolstack::new(Xen, archive, xenstored::local()));
    spawn("xenstored", xenstored::serve);
    netback::start();
    ip::start();
    spawn("input", screen::collect_typed);
    spawn("consoles", serve_consoles);
    spawn("watcher", watch_domains);
    spawn("blkback", blkback::serve);
    spawn("vbd", blkback::follow);
    spawn("devices", watch_devices);
    let noticed = || {
        DOMAINS_CHANGED.store(true, Ordering::Release);
        WORK.wake_all();
    };
    if let Err(errno) = event::bind_virq(Virq::DOM_EXC, noticed) {
        println!("dom0: ends of domains go unnoticed: bind_virq failed with {}", errno.name());
    }
    zld::start(token.and_then(Token::parse));
    // Lets every thread take what it needs for good, so that later counts of memory compare.
    thread::sleep_ns(SETTLE_NS);
}

fn spawn(name: &str, body: fn()) {
    if thread::spawn(name, body).is_err() {
        println!("dom0: no memory for the thread '{name}'; give dom0 more memory with dom0_mem=");
    }
}

/// Notes that a port fired; runs as its handler.
pub fn port_fired(port: EvtchnPort) {
    let number = port.get() as usize;
    if let Some(word) = FIRED.get(number / 64) {
        word.fetch_or(1 << (number % 64), Ordering::Release);
    }
    WORK.wake_all();
}

fn take_fired() -> Vec<EvtchnPort> {
    let mut ports = Vec::new();
    for (index, word) in FIRED.iter().enumerate() {
        let mut bits = word.swap(0, Ordering::AcqRel);
        while bits != 0 {
            let number = index * 64 + bits.trailing_zeros() as usize;
            ports.push(EvtchnPort::new(number as u32));
            bits &= bits - 1;
        }
    }
    ports
}

fn any_fired() -> bool {
    FIRED.iter().any(|word| word.load(Ordering::Acquire) != 0)
}

fn serve_consoles() {
    loop {
        WORK.wait_until(any_fired);
        let mut stack = stack();
        for port in take_fired() {
            stack.pump_port(port);
        }
        drop(stack);
        screen::CHANGED.wake_all();
    }
}

/// Looks at back halves that somebody waits for, when they say something and when it is too late.
fn watch_devices() {
    let sink: WatchSink = Arc::new(|_path: &str| {
        BACKS_CHANGED.store(true, Ordering::Release);
        WORK.wake_all();
    });
    for path in BACKS {
        if let Err(errno) = xenstored::local().watch(path, Arc::clone(&sink)) {
            println!("dom0: nobody watches {path}: {}", errno.name());
        }
    }
    loop {
        let limit_ns = stack().next_limit_ns();
        let changed = || BACKS_CHANGED.swap(false, Ordering::AcqRel);
        // A wait that begins later begins with a change below the back halves.
        match limit_ns {
            Some(limit_ns) => drop(WORK.wait_deadline(limit_ns, changed)),
            None => WORK.wait_until(changed),
        }
        stack().serve_devices();
        screen::CHANGED.wake_all();
    }
}

fn watch_domains() {
    loop {
        WORK.wait_until(|| DOMAINS_CHANGED.swap(false, Ordering::AcqRel));
        let staged = files::for_restart();
        let mut held = stack();
        held.stage(staged);
        held.handle_ends();
        held.stage(Staged::default());
        drop(held);
        screen::CHANGED.wake_all();
    }
}
