//! Delivery of events in the 2-level ABI: three levels of words in guest memory, and their order.
//!
//! An event is a pending bit of its port; a selector bit of the notified vCPU says in which word of
//! pending bits to look; the vCPU's upcall byte says that there is a selector bit to look at. The
//! hypervisor writes pending, selector, upcall; the guest clears them in the opposite order before
//! it looks one level down. So whatever the interleaving, either the guest sees the event in the
//! pass it is in, or the upcall byte is set again after the guest cleared it and a further pass
//! follows. A mask bit hides a port: the one who clears it must raise what was hidden, and because
//! both sides do "write mine, then read yours" with locked instructions, at least one of them sees
//! the other.
//!
//! Called by the image on the shared pages, by tests on vectors and by the loom model
//! (`tests/loom_evtchn.rs`). It trusts nothing it reads: a guest that scribbles over its words
//! only loses or gains events of its own.

use hypercall_abi::EvtchnPort;

/// The words of one domain's shared page and of its vCPUs' info structures.
///
/// Every operation is one atomic access. The ones that change something are full barriers, as
/// locked instructions are.
pub trait EventWords {
    /// A vCPU, which has a selector and an upcall byte.
    type Vcpu: Copy;
    /// Sets the pending bit and returns whether it was set.
    fn test_and_set_pending(&self, port: EvtchnPort) -> bool;
    /// Reads the pending bit.
    fn is_pending(&self, port: EvtchnPort) -> bool;
    /// Clears the pending bit; used when a port is closed.
    fn clear_pending(&self, port: EvtchnPort);
    /// Reads the mask bit.
    fn is_masked(&self, port: EvtchnPort) -> bool;
    /// Clears the mask bit and returns whether it was set.
    fn test_and_clear_mask(&self, port: EvtchnPort) -> bool;
    /// Sets selector bit `word` of a vCPU and returns whether it was set.
    fn test_and_set_selector(&self, vcpu: Self::Vcpu, word: u32) -> bool;
    /// Sets the upcall byte of a vCPU and returns whether it was set.
    fn test_and_set_upcall(&self, vcpu: Self::Vcpu) -> bool;
}

/// What an event led to, and what is left to do for the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// The port was pending already: nothing to do, not even for pollers.
    AlreadyPending,
    /// The port is masked: only vCPUs that poll for it are woken.
    Masked,
    /// The event is visible to its vCPU.
    Raised {
        /// The upcall byte was clear: the vCPU is woken if blocked and interrupted if it runs.
        kick: bool,
    },
}

/// Ports whose pending bits share one selector bit, as a shift.
const PORTS_PER_WORD_SHIFT: u32 = 6;

/// Makes an event of `port` visible to `vcpu`.
#[inline]
pub fn set_pending<W: EventWords>(words: &W, port: EvtchnPort, vcpu: W::Vcpu) -> Delivery {
    if words.test_and_set_pending(port) {
        return Delivery::AlreadyPending;
    }
    // After the pending bit, never before: a guest that unmasks in between must find the bit.
    if words.is_masked(port) {
        return Delivery::Masked;
    }
    Delivery::Raised { kick: select(words, port, vcpu) }
}

/// `EVTCHNOP_unmask`: clears the mask bit and raises what it hid. Returns whether the vCPU must be
/// kicked.
#[inline]
pub fn unmask<W: EventWords>(words: &W, port: EvtchnPort, vcpu: W::Vcpu) -> bool {
    words.test_and_clear_mask(port) && words.is_pending(port) && select(words, port, vcpu)
}

#[inline(always)]
fn select<W: EventWords>(words: &W, port: EvtchnPort, vcpu: W::Vcpu) -> bool {
    // A selector bit that is set already promises that the guest has yet to take it, and that the
    // one who set it sets the upcall byte.
    !words.test_and_set_selector(vcpu, port.get() >> PORTS_PER_WORD_SHIFT)
        && !words.test_and_set_upcall(vcpu)
}
