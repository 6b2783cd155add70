//! Time: nanoseconds since boot from the time stamp counter, and one timer per CPU.
//!
//! The counter is taken to run at one rate on all CPUs, in step, as on every machine of the last
//! fifteen years and in QEMU. Its rate is measured once at boot (`calibrate`). The timer is the
//! local APIC's, in one-shot mode; the image re-arms it and tolerates early firing.

pub mod scale;

#[cfg(target_os = "none")]
mod calibrate;
#[cfg(target_os = "none")]
mod clock;
#[cfg(target_os = "none")]
mod rtc;

#[cfg(target_os = "none")]
pub(crate) use clock::init;
#[cfg(target_os = "none")]
pub use clock::{arm_timer, disarm, now_ns, ns_at_tsc, tsc_scale, wallclock_at_boot};
pub use scale::TscScale;
