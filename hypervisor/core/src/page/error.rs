//! Why a page operation did not happen, and the errno each reason becomes.
//!
//! The table below is the only place where a page error turns into a number a guest sees.

use hypercall_abi::Errno;

/// A refused page operation. Nothing has changed when one is returned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PageError {
    /// The frame does not belong to the domain whose page tables are changed.
    NotOwned,
    /// The frame number names no memory.
    BadFrame,
    /// A present entry has a bit the domain may not set at that level.
    BadFlags,
    /// The slot of the root table belongs to the hypervisor.
    HypervisorSlot,
    /// The frame is in use as something else.
    TypeConflict,
    /// An entry above the leaf level cannot name a frame of another domain.
    ForeignTable,
    /// Already pinned.
    AlreadyPinned,
    /// Not pinned.
    NotPinned,
    /// No validated leaf table of the domain maps the address.
    NoLeafTable,
    /// A segment descriptor that could be used to leave the guest's privilege.
    BadDescriptor,
    /// The frame cannot be mapped as asked: not that owner's, or not writable now.
    CannotMap,
    /// A reference count is at its limit.
    CountLimit,
    /// No permission for that device memory.
    NoIomemPermission,
    /// A frame with content of the hypervisor can only be mapped write-back.
    CacheAttribute,
    /// The frame has references beyond the one of its allocation.
    InUse,
    /// The entry is not what the caller expected to replace.
    EntryChanged,
}

impl From<PageError> for Errno {
    fn from(error: PageError) -> Self {
        match error {
            PageError::CannotMap | PageError::CountLimit | PageError::InUse => Self::EBUSY,
            PageError::NoIomemPermission => Self::EPERM,
            PageError::CacheAttribute => Self::EACCES,
            PageError::EntryChanged => Self::EAGAIN,
            // All others: what the guest asks for is wrong in itself.
            _ => Self::EINVAL,
        }
    }
}

/// Why an operation that has a budget stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// The budget is used up: make the same call again.
    Preempted,
    /// The operation was refused; making the same call again is a new attempt.
    Refused(PageError),
}

impl From<PageError> for Stop {
    fn from(error: PageError) -> Self {
        Self::Refused(error)
    }
}

/// Result of an operation that may run out of budget.
pub type Progress<T> = Result<T, Stop>;
