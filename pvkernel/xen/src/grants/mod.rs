//! Grants: letting another domain use frames of ours, and using those of others.
//!
//! `table` keeps this domain's grant table; `GrantedPages` are frames of ours with a grant each, for
//! rings and buffers; `GrantMapping` are frames of others in our address space, `GrantSlots` the same one
//! by one for frames that come and go; `copy` lets the
//! hypervisor copy without mapping anything. Front halves of devices use the first two, back halves
//! the last two.
//!
//! A granted frame is never used for anything else while the other domain may reach it: one whose grant
//! cannot be ended goes to `deferred` and is freed when it can. Nothing here is touched before first
//! use, so a program without devices makes none of these hypercalls.

mod copy;
mod deferred;
mod mapping;
mod pages;
mod slots;
mod table;

pub use copy::{CopyBatch, CopyQueue};
pub use deferred::end_or_defer;
pub use mapping::GrantMapping;
pub use pages::GrantedPages;
pub use slots::GrantSlots;
pub use table::{end, grant, reserve, StillInUse};

/// Numbers for leak checks.
pub mod stats {
    pub use super::deferred::count as deferred;
    pub use super::mapping::count as mappings;
    pub use super::table::used;
}

use hypercall_abi::grant::gntst;
use hypercall_abi::Errno;

/// What a status says as an error number.
///
/// # Errors
/// Unless it is `gntst::OKAY`.
pub fn check_status(status: i16) -> Result<(), Errno> {
    match status {
        gntst::OKAY => Ok(()),
        gntst::BAD_DOMAIN => Err(Errno::ESRCH),
        gntst::BAD_GNTREF | gntst::BAD_COPY_ARG | gntst::BAD_PAGE => Err(Errno::EINVAL),
        gntst::PERMISSION_DENIED => Err(Errno::EPERM),
        gntst::NO_SPACE | gntst::NO_DEVICE_SPACE => Err(Errno::ENOSPC),
        gntst::EAGAIN => Err(Errno::EAGAIN),
        _ => Err(Errno::EIO),
    }
}
