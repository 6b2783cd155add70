//! Interrupts: recording what happened, and running handlers for it.
//!
//! Two halves. The upcall, entered from the processor at any instruction, only sets the line's bit in what
//! `pvkernel_core::events` records. The handlers run later, from `dispatch`, in the context of a thread that
//! yields, sleeps or waits.
//!
//! A line that asks until its device is content is masked by the upcall, and unmasked by `pirq` when
//! the handlers have run.

use pvkernel_core::events::Events;
pub use pvkernel_core::events::Handler;

use crate::apic::{self, Line};
use crate::cpu;

static EVENTS: Events = Events::new();

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

/// Runs what an upcall must not come between.
pub(crate) fn masked<T>(act: impl FnOnce() -> T) -> T {
    let was_enabled = mask_upcalls();
    let result = act();
    if was_enabled {
        enable_upcalls();
    }
    result
}

/// Records what happened; called by the trap entry with upcalls masked.
pub(crate) fn upcall(vector: u8) {
    if let Some(line) = Line::of_vector(vector) {
        record(line);
        apic::eoi();
    }
}

fn record(line: Line) {
    apic::hold(line);
    EVENTS.record(0, 1 << line.get());
}

/// Whether an event was recorded that `dispatch` has not seen.
#[must_use]
#[inline]
pub fn is_raised() -> bool {
    EVENTS.is_raised()
}

/// Runs the handlers of all recorded events. Events without a handler are dropped.
pub fn dispatch() {
    EVENTS.dispatch();
}

/// Installs the handler of a line and unmasks it. It runs when a thread yields, sleeps or waits; it may
/// wake threads and print, but must not wait.
pub fn on_event(line: Line, handler: Handler) {
    EVENTS.bind(line.get(), handler);
    apic::unmask(line);
}

/// Ports with a handler.
pub(crate) fn bound_ports() -> usize {
    EVENTS.bound()
}
