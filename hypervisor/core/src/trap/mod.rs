//! Entry into and return from guest handlers: bounce frames, the `iret` hypercall, trap tables.
//!
//! A PV guest runs wholly in ring 3, so every exception, event and system call reaches the
//! hypervisor first and is then *bounced*: a frame is pushed on a guest stack and the guest
//! continues in its handler. This module decides what the frame contains, where it goes and with
//! which registers the guest goes on. It also decodes the way back and keeps what a guest has
//! registered.
//!
//! The image calls it on every entry and exit. It saves the registers, writes the frame through a
//! copy that may fault, and switches page tables and GS when user mode was interrupted or
//! [`IretOutcome::to_user`] says so.
//!
//! Invariants: the selectors a guest gets always have privilege 3; the interrupt flag is always
//! set and the I/O privilege level always 0 in the real flags; no frame is placed outside the
//! addresses a guest may use.
//!
//! The mode of a vCPU (kernel or user) is a bit the hypervisor keeps. It is never derived from a
//! selector, because a guest may use any ring-3 selector in either mode.

pub mod bounce;
pub mod callbacks;
pub mod debugreg;
pub mod flags;
pub mod iret;
pub mod pagefault;
pub mod softint;
pub mod table;
pub mod vector;

pub use bounce::{Bounce, Interrupted, Kind, StackContext};
pub use callbacks::Callbacks;
pub use debugreg::DebugRegs;
pub use iret::IretOutcome;
pub use table::{Handler, TrapTable};

/// Whether a vCPU executes its guest's kernel or its guest's user programs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// Guest kernel: hypercalls and privileged instructions are allowed.
    #[default]
    Kernel,
    /// Guest user.
    User,
}
