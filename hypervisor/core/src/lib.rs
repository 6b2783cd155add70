//! The decisions of the hypervisor, without a machine.
//!
//! Everything here is safe, deterministic Rust that runs under plain `cargo test`: it takes state,
//! arguments and time, and returns values. It never locks, logs, sleeps or reads a clock; what must
//! be done to the machine is returned as data and applied by the image.
#![cfg_attr(not(any(test, feature = "testkit")), no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod buddy;
mod chunks;
pub mod cpuid;
pub mod emul;
pub mod evtchn;
pub mod grant;
pub mod msr;
pub mod page;
pub mod rangeset;
pub mod sched;
pub mod timer;
pub mod trap;

/// A check of what a guest asks for, in one line.
///
/// # Errors
/// `otherwise`, unless the condition holds.
pub fn ensure<E>(holds: bool, otherwise: E) -> Result<(), E> {
    if holds {
        Ok(())
    } else {
        Err(otherwise)
    }
}

/// The numbers of the bits that are set, ascending.
pub fn bits(mut mask: u64) -> impl Iterator<Item = u32> {
    core::iter::from_fn(move || {
        let lowest = mask.trailing_zeros();
        mask &= mask.checked_sub(1)?;
        Some(lowest)
    })
}
