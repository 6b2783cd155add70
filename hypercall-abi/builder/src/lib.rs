//! Plans the start of day of a PV64 kernel.
//!
//! The hypervisor uses this crate to build dom0, the toolstack to build every other domain. The
//! steps are always the same:
//!
//! 1. [`KernelInfo::parse`] reads an ELF image that nobody has checked and says what the kernel
//!    wants.
//! 2. [`Plan::new`] decides where everything goes, in pseudo-physical frames and guest addresses.
//! 3. The caller allocates frames, copies what the plan lists, and writes the page tables with
//!    [`Plan::page_tables`] or [`Plan::table_images`].
//! 4. [`Plan::start_info`] gives the start page, [`Plan::vcpu_context`] the first registers.
//!
//! Invariant: planning is pure. The same image and parameters give the same plan, any image gives
//! a plan or an error a person understands, and nothing here touches a domain.
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod context;
pub mod elf;
pub mod error;
pub mod features;
pub mod kernel;
pub mod layout;
mod legacy;
pub mod notes;
pub mod pagetables;
pub mod start_info;
pub mod symtab;
pub mod tables;

pub use error::{KernelError, PlanError};
pub use kernel::{FileCopy, KernelInfo};
pub use layout::{BuildKind, EntryState, Params, Plan, Region};
pub use pagetables::TableImage;
pub use start_info::{Console, StartInfoValues};
