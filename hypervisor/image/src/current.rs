//! The vCPU that runs on this CPU.
//!
//! The machine keeps the address and hands it to whoever a guest has entered; only `exit_work` gets it
//! for changes, and `switch` makes them.

use alloc::boxed::Box;
use alloc::sync::Arc;

use crate::counters::Counters;
use crate::domain::{DomainRef, Vcpu};
use crate::fpu;

/// A vCPU where it runs. Handlers get it as their caller.
pub struct Here {
    dom: DomainRef,
    vcpu: Arc<Vcpu>,
}

impl Here {
    /// A vCPU that is to run on this CPU.
    pub fn new(dom: DomainRef, vcpu: Arc<Vcpu>) -> Here {
        Here { dom, vcpu }
    }

    /// The domain.
    #[inline]
    pub fn dom(&self) -> &DomainRef {
        &self.dom
    }

    /// The vCPU.
    #[inline]
    pub fn vcpu(&self) -> &Vcpu {
        &self.vcpu
    }

    /// Its counters.
    #[inline]
    pub fn counters(&self) -> &Counters {
        &self.vcpu.counters
    }
}

/// What runs on a CPU; `None` while it is idle. The machine shows it to every hook.
pub type Current = Option<Here>;

/// Makes the value of a CPU, which it keeps for ever. Other modules' values are made when the CPU
/// first looks for something to run; but those a guest needs now, so that the heap does not change when
/// it first uses them.
pub extern "C" fn make() -> &'static mut Current {
    fpu::prepare_cpu();
    Box::leak(Box::new(None))
}

/// The vCPU that runs here, for code that a guest has entered.
///
/// # Panics
/// When the CPU is idle: only a mistake of the hypervisor can call it then.
#[inline(always)]
pub fn here(current: &Current) -> &Here {
    match current {
        Some(here) => here,
        None => panic!("no vCPU runs on this CPU"),
    }
}

/// Makes `next` the vCPU of this CPU; returns the one before.
pub fn replace(current: &mut Current, next: Option<Here>) -> Option<Here> {
    core::mem::replace(current, next)
}
