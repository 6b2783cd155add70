//! Interrupts: recording what happened, and running handlers for it.
//!
//! Two halves. The upcall, entered from the processor at any instruction, only sets the line's bit in
//! `RAISED`; it takes no lock and allocates nothing. The handlers run later, from `dispatch`, in the
//! context of a thread that yields, sleeps or waits.
//!
//! A line that asks until its device is content is masked by the upcall, and unmasked by `pirq` when
//! the handlers have run.

use alloc::boxed::Box;
use core::sync::atomic::{AtomicU64, Ordering};

use pvkernel_core::sync::Lock;

use crate::trap::SPURIOUS;
use crate::{apic, cpu, platform};

const LINES: usize = 64;

/// Lines that fired and whose handlers have not run: a bit each.
static RAISED: AtomicU64 = AtomicU64::new(0);
/// Lines that are masked when they fire.
static LEVEL: AtomicU64 = AtomicU64::new(0);

/// What runs when a line fired.
pub type Handler = Box<dyn FnMut() + Send>;

/// What a line has.
enum Slot {
    /// No handler.
    Free,
    /// A handler.
    Bound(Handler),
    /// A handler that is running.
    Running,
}

static HANDLERS: Lock<[Slot; LINES]> = Lock::new([const { Slot::Free }; LINES]);

/// Masks upcalls; returns whether they were enabled.
pub fn mask_upcalls() -> bool {
    cpu::disable_interrupts()
}

/// Enables upcalls; an event that came while they were masked is recorded before this returns.
pub fn enable_upcalls() {
    // SAFETY: the table is loaded before anybody can come here; what belongs together is put in order
    // by whoever masked.
    unsafe { cpu::enable_interrupts() };
}

/// Records what happened; called by the trap entry with upcalls masked.
pub(crate) fn upcall(vector: u8) {
    match vector {
        SPURIOUS => return,
        apic::TIMER => platform::timer_fired(),
        _ => record(u32::from(vector.wrapping_sub(apic::LINES)) % LINES as u32),
    }
    apic::eoi();
}

fn record(line: u32) {
    if LEVEL.load(Ordering::Relaxed) & 1 << line != 0 {
        apic::mask(line);
    }
    RAISED.fetch_or(1 << line, Ordering::Release);
}

/// Whether an event was recorded that `dispatch` has not seen.
#[must_use]
#[inline]
pub fn is_raised() -> bool {
    RAISED.load(Ordering::Acquire) != 0
}

/// Runs the handlers of all recorded events. Events without a handler are dropped.
pub fn dispatch() {
    let mut bits = RAISED.swap(0, Ordering::AcqRel);
    while bits != 0 {
        let line = bits.trailing_zeros();
        bits &= bits - 1;
        run_handler(line as usize);
    }
}

fn run_handler(line: usize) {
    // The handler leaves the table while it runs, so that it may install others.
    let mut handlers = HANDLERS.lock();
    let is_bound = matches!(handlers[line], Slot::Bound(_));
    let taken = is_bound.then(|| core::mem::replace(&mut handlers[line], Slot::Running));
    drop(handlers);
    let Some(Slot::Bound(mut handler)) = taken else { return };
    handler();
    let mut handlers = HANDLERS.lock();
    // Another handler may have been installed meanwhile, which stays.
    if matches!(handlers[line], Slot::Running) {
        handlers[line] = Slot::Bound(handler);
    }
}

/// Installs the handler of a line and unmasks it; false when there is no such line. It runs when a
/// thread yields, sleeps or waits; it may wake threads and print, but must not wait.
#[must_use]
pub fn on_event(line: u32, is_level: bool, handler: Handler) -> bool {
    if line >= apic::line_count() {
        return false;
    }
    let old = core::mem::replace(&mut HANDLERS.lock()[line as usize], Slot::Bound(handler));
    drop(old);
    if is_level {
        LEVEL.fetch_or(1 << line, Ordering::Relaxed);
    }
    masked(|| apic::route(line, is_level));
    true
}

/// Lets a line fire again.
pub(crate) fn unmask(line: u32) {
    masked(|| apic::unmask(line));
}

/// Runs what an upcall must not come between: it uses the controller, too.
fn masked(act: impl FnOnce()) {
    let was_enabled = mask_upcalls();
    act();
    if was_enabled {
        enable_upcalls();
    }
}

/// Lines with a handler.
pub(crate) fn bound_ports() -> usize {
    HANDLERS.lock().iter().filter(|slot| !matches!(slot, Slot::Free)).count()
}
