//! The vCPU that runs on this CPU.
//!
//! Set by `switch` only. A [`Here`] borrows it for the time of one hypercall or trap; switching
//! while one is alive would panic, and cannot happen because switches are made in `exit_work` only,
//! when the handler has returned.

use core::cell::{OnceCell, Ref, RefCell};
use core::ops::Deref;
use hv_machine::percpu::PerCpu;

use crate::domain::{DomainRef, Vcpu};

/// A vCPU by its domain and index.
pub struct Running {
    /// The domain.
    pub dom: DomainRef,
    /// Index of the vCPU in it.
    pub index: usize,
}

impl Running {
    /// The domain.
    #[inline]
    pub fn dom(&self) -> &DomainRef {
        &self.dom
    }

    /// The vCPU.
    #[inline]
    pub fn vcpu(&self) -> &Vcpu {
        &self.dom.vcpus[self.index]
    }
}

static CURRENT: PerCpu<RefCell<Option<Running>>> = PerCpu::new(|| RefCell::new(None));

/// The vCPU running here, borrowed.
pub struct Here(Ref<'static, Running>);

impl Deref for Here {
    type Target = Running;

    #[inline]
    fn deref(&self) -> &Running {
        &self.0
    }
}

/// The vCPU running here, looked up when it is first asked for: many short hypercalls never ask.
#[derive(Default)]
pub struct LazyHere(OnceCell<Here>);

impl Deref for LazyHere {
    type Target = Here;

    #[inline]
    fn deref(&self) -> &Here {
        self.0.get_or_init(here)
    }
}

/// The vCPU that runs here; `None` while the CPU is idle.
#[inline]
pub fn try_here() -> Option<Here> {
    Ref::filter_map(CURRENT.get().borrow(), Option::as_ref).ok().map(Here)
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
pub fn here() -> Here {
    match try_here() {
        Some(here) => here,
        None => panic!("no vCPU runs on this CPU"),
    }
}

/// Makes `next` the vCPU of this CPU; returns the one before.
pub fn replace(next: Option<Running>) -> Option<Running> {
    CURRENT.get().replace(next)
}
