//! The public PV64 interface of Xen 4.17 as plain Rust types.
//!
//! Every crate of the project speaks to another privilege level through these types and through
//! nothing else: the hypervisor reads them from guests, pvkernel and the toolstack write them.
//!
//! Invariant: every structure has the size and the offsets of the C structure it names, and every
//! constant its value (`tests/layout` compares all of them with the headers of `libxen-dev`).
//!
//! The crate has no behaviour beyond conversions: it does not make hypercalls, does not touch
//! memory and does not decide whether a value is acceptable.
#![no_std]
#![forbid(unsafe_code)]

mod macros;

pub mod addr;
pub mod callback;
pub mod console;
pub mod cpuid;
pub mod domctl;
pub mod elfnote;
pub mod errno;
pub mod evtchn;
pub mod grant;
pub mod ids;
pub mod io;
pub mod memory;
pub mod mmu;
pub mod multicall;
pub mod nmi;
pub mod nr;
pub mod payload;
pub mod physdev;
pub mod platform;
pub mod regs;
pub mod sched;
pub mod segment;
pub mod shared_info;
pub mod start_info;
pub mod sysctl;
pub mod vcpu;
pub mod version;
pub mod vm_assist;
pub mod xen;
pub mod zendo;

pub use addr::{GuestVa, Mfn, Pfn, PAGE_SHIFT, PAGE_SIZE};
pub use errno::Errno;
pub use ids::{DomId, EvtchnPort, GrantRef, VcpuId, Virq};
