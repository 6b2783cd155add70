//! The vCPU that runs on this CPU.
//!
//! Set by `switch` only. A [`Current`] borrows it for the time of one hypercall or trap; switching
//! while one is alive would panic, and cannot happen because switches are made in `exit_work` only,
//! when the handler has returned.

use alloc::sync::Arc;
use core::cell::{Ref, RefCell};
use core::ops::Deref;
use hv_machine::percpu::PerCpu;

use crate::counters::Counters;
use crate::domain::{DomainRef, Vcpu};

/// A vCPU where it runs. Handlers get it as their caller.
pub struct Here {
    dom: DomainRef,
    vcpu: Arc<Vcpu>,
    counters: &'static Counters,
}

impl Here {
    /// A vCPU that is to run on this CPU.
    pub fn new(dom: DomainRef, vcpu: Arc<Vcpu>) -> Here {
        Here { dom, vcpu, counters: counters() }
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

    /// The counters of its CPU.
    #[inline]
    pub fn counters(&self) -> &'static Counters {
        self.counters
    }
}

static CURRENT: PerCpu<RefCell<Option<Here>>> = PerCpu::new(|| RefCell::new(None));
static COUNTERS: PerCpu<Counters> = PerCpu::new(Counters::new);

/// The vCPU running here, borrowed.
pub struct Current(Ref<'static, Here>);

impl Deref for Current {
    type Target = Here;

    #[inline]
    fn deref(&self) -> &Here {
        &self.0
    }
}

/// The vCPU that runs here; `None` while the CPU is idle.
#[inline]
pub fn try_here() -> Option<Current> {
    Ref::filter_map(CURRENT.get().borrow(), Option::as_ref).ok().map(Current)
}

/// Whether a vCPU runs here.
#[inline]
pub fn is_busy() -> bool {
    CURRENT.get().borrow().is_some()
}

/// The vCPU that runs here, for code that a guest has entered.
///
/// # Panics
/// When the CPU is idle: only a mistake of the hypervisor can call it then.
#[inline]
pub fn here() -> Current {
    Current(Ref::map(CURRENT.get().borrow(), |current| match current {
        Some(here) => here,
        None => panic!("no vCPU runs on this CPU"),
    }))
}

/// Makes `next` the vCPU of this CPU; returns the one before.
pub fn replace(next: Option<Here>) -> Option<Here> {
    CURRENT.get().replace(next)
}

/// This CPU's counters, also while it is idle.
pub fn counters() -> &'static Counters {
    COUNTERS.get()
}
