//! Processor identification as guests see it.
//!
//! A guest asks through the forced-emulation prefix, or by a faulting CPUID. The answer is a
//! [`Policy`]: the processor's own leaves, reduced to what works in a PV64 guest, plus the leaves
//! of the hypervisor interface at 0x40000000. The image makes one policy for the control domain
//! and one for all others at boot, and reads it for every CPUID.
//!
//! Invariant: a leaf nobody has thought about is all zeroes. In particular PSE must never be shown:
//! a kernel that sees it builds its memory map from superpages, and dies on the first one.

pub mod features;
pub mod policy;
pub mod xen_leaves;
pub mod xstate;

pub use policy::{Policy, QueryContext, Vendor, Via};
pub use xen_leaves::XenInfo;
pub use xstate::Xstate;

/// The four registers CPUID fills: eax, ebx, ecx, edx.
pub type Leaf = [u32; 4];
