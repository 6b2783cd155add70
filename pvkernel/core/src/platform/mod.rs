//! What the kernel needs from a machine: seven small traits.
//!
//! They speak meaning, not instructions: map these frames here, sleep until then, switch to that
//! thread. A backend implements them once, hands the kernel one `Platform`, and is otherwise free.
//! `contract` holds tests that every backend must pass; `hosted` is a fake for `cargo test`.
//!
//! Growing a trait needs a user in the kernel, not a plan.

mod block;
mod clock;
mod console;
pub mod contract;
mod cpu;
#[cfg(any(test, feature = "hosted"))]
pub mod hosted;
mod irq;
mod mmu;
mod user;

pub use block::{Block, BlockError};
pub use clock::Clock;
pub use console::Console;
pub use cpu::{ContextId, Cpu, Ending, Entry, Stack};
pub use irq::Irq;
pub use mmu::{Access, MapError, Mmu};
pub use user::{Change, FpuId, SpaceId, User, UserAccess, UserExit, UserRegs, ANSWERS, BLOCK};

/// There was not enough memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutOfMemory;

/// A machine. The parts live for ever: a kernel does not outlive its machine.
#[derive(Clone, Copy)]
pub struct Platform {
    /// Address space.
    pub mmu: &'static dyn Mmu,
    /// Events.
    pub irq: &'static dyn Irq,
    /// Time.
    pub clock: &'static dyn Clock,
    /// Execution contexts and the idle state.
    pub cpu: &'static dyn Cpu,
    /// Characters.
    pub console: &'static dyn Console,
    /// The disk, if there is one.
    pub block: Option<&'static dyn Block>,
    /// Programs, if the machine runs any.
    pub user: Option<&'static dyn User>,
}
