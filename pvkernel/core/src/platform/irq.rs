//! Events: interrupts of a machine, event channels of a hypervisor.

/// Sources of events. Recording an event is the backend's asynchronous part and touches nothing
/// but atomics; handlers run later, when the kernel asks for it.
pub trait Irq: Sync {
    /// Keeps events from being recorded; returns whether they were recorded before.
    fn mask(&self) -> bool;

    /// Restores what `mask` returned; an event that came in between is recorded now.
    fn restore(&self, was_enabled: bool);

    /// Whether an event was recorded that `dispatch` has not seen.
    fn is_raised(&self) -> bool;

    /// Runs the handlers of all recorded events.
    fn dispatch(&self);
}
