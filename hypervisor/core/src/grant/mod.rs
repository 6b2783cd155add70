//! Grant tables, version 1: who may use which frame of another domain, and who does at present.
//!
//! A granter writes entries into shared frames; the entry is the granter's claim and may change at
//! any time. The hypervisor keeps two private records of its own: for the granter, how often each
//! entry is in use and which frame it stood for when the use began ([`GrantTable`]); for the
//! mapper, what each handle maps ([`Maptrack`]). While an entry is in use, its in-use bits are set
//! in the shared word, and only the private record decides.
//!
//! The image drives it: to map, [`MapRequest::decode`], [`Maptrack::reserve`],
//! [`GrantTable::acquire`], then page references and the page-table entry, then
//! [`Found::commit`]; any failure undoes the steps before with [`GrantTable::release`] and
//! leaves the handle free. To unmap, [`Maptrack::lookup`], [`Mapping::plan_unmap`], the page-table
//! entry and references, [`Found::remove`], then [`GrantTable::release`]. It holds the mapper's
//! maptrack lock over a whole map or unmap, and the granter's table lock around each call on it.
//!
//! Invariants: READING is set in the shared entry exactly while it is in use, WRITING exactly while
//! a writer uses it; the frame of a used entry never changes; counts neither wrap nor go below
//! zero; a status is zero or negative.
//!
//! Not here: page references, page-table entries, flushes, copying bytes, rights and look-up of
//! domains. Memory is allocated for 64 entries or handles at a time, when first used.

mod copy;
mod entry;
mod map;
mod maptrack;
mod table;

use hypercall_abi::grant::gntst;

pub use copy::{CopyPlan, CopySide};
pub use entry::{EntryPlace, SharedEntries};
pub use map::{Access, MapRequest, Mapping, UseKinds};
pub use maptrack::{BudgetSpent, Found, Maptrack};
pub use table::{check_version, GrantTable};

/// Why a grant operation failed; each becomes one status of the interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GrantError {
    /// The reference is beyond the granter's table.
    BadRef,
    /// Neither a mapping for the CPU nor one for devices was asked for.
    NothingToMap,
    /// The entry does not permit this use: wrong type, wrong domain, or only for reading.
    NotPermitted,
    /// The granter kept changing the entry.
    Unstable,
    /// The entry is in use by another domain.
    InUseByOther,
    /// The entry is used so often that the count would overflow.
    TooManyUses,
    /// The entry is in use and the operation needs it idle.
    Busy,
    /// No mapping has this handle.
    BadHandle,
    /// The mapper may not hold more mappings.
    NoHandles,
    /// More frames were asked for than the table may have.
    TableLimit,
    /// The hypervisor is out of memory.
    NoMemory,
    /// The page-table entry is not what the mapping made, or the address is unusable.
    WrongAddress,
    /// A copy would leave its frame.
    CopyRange,
    /// A raw frame of a copy must belong to the caller.
    ForeignFrame,
    /// No such domain.
    BadDomain,
    /// The frame cannot be used, for instance because it is a page table.
    BadFrame,
    /// A raw frame of a copy is none of the caller's memory.
    NoFrame,
}

impl GrantError {
    /// The `status` field of the interface; always negative.
    pub const fn status(self) -> i16 {
        match self {
            Self::BadRef | Self::NothingToMap => gntst::BAD_GNTREF,
            Self::NotPermitted
            | Self::Unstable
            | Self::InUseByOther
            | Self::TooManyUses
            | Self::TableLimit
            | Self::WrongAddress
            | Self::BadFrame
            | Self::NoMemory => gntst::GENERAL_ERROR,
            Self::Busy => gntst::EAGAIN,
            Self::BadHandle => gntst::BAD_HANDLE,
            Self::NoHandles => gntst::NO_SPACE,
            Self::CopyRange => gntst::BAD_COPY_ARG,
            Self::ForeignFrame => gntst::PERMISSION_DENIED,
            Self::BadDomain => gntst::BAD_DOMAIN,
            Self::NoFrame => gntst::BAD_PAGE,
        }
    }
}

/// The status of a result: zero for success.
pub fn status_of<T>(result: &Result<T, GrantError>) -> i16 {
    result.as_ref().map_or_else(|error| error.status(), |_| gntst::OKAY)
}
