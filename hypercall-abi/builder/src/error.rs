//! Why a kernel cannot be built into a domain.
//!
//! Returned by `KernelInfo::parse` and `Plan::new` and shown to the person who asked for the
//! domain, so every text says what was found and what was expected.

use crate::elf::ElfError;
use alloc::string::String;
use core::fmt;

/// Why an image is not a PV64 kernel that can be started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KernelError {
    /// The image is no usable ELF file.
    Elf(ElfError),
    /// There is neither a Xen note nor a `__xen_guest` section.
    NoNotes,
    /// A note has a descriptor that cannot be a number.
    BadNumber {
        /// The note or the key of the legacy string.
        note: &'static str,
    },
    /// The kernel was made for another interface.
    WrongXenVersion {
        /// What the kernel says.
        found: String,
    },
    /// The kernel does not say that it can be loaded generically.
    WrongLoader {
        /// The kernel's loader.
        loader: String,
        /// The kernel's operating system.
        guest_os: String,
    },
    /// A physical offset without a virtual base.
    OffsetWithoutBase,
    /// The kernel insists on a feature nobody knows.
    UnknownRequiredFeature {
        /// Its name.
        name: String,
    },
    /// The kernel insists on a feature that PV64 guests never have.
    RefusedFeature {
        /// Its name.
        name: &'static str,
    },
    /// The kernel lists what it supports, and running as the control domain is not in the list.
    NotADom0Kernel,
    /// Nothing to load.
    NoSegments,
    /// Two segments occupy the same memory.
    SegmentsOverlap {
        /// The physical address both want.
        paddr: u64,
    },
    /// The lowest segment lies below the physical offset.
    BelowOffset {
        /// Its physical address.
        paddr: u64,
        /// The offset the kernel declares.
        paddr_offset: u64,
    },
    /// The kernel's virtual addresses leave the space guests may use.
    BadAddressRange {
        /// What was to be placed.
        what: &'static str,
        /// Its first address.
        start: u64,
        /// Its length.
        len: u64,
    },
    /// An address that must be page aligned is not.
    Unaligned {
        /// The note.
        note: &'static str,
        /// The address.
        va: u64,
    },
    /// An address that must be inside the kernel is not, or must be outside and is not.
    Misplaced {
        /// The note.
        note: &'static str,
        /// The address.
        va: u64,
        /// Start of the kernel.
        kstart: u64,
        /// End of the kernel.
        kend: u64,
    },
}

impl From<ElfError> for KernelError {
    fn from(error: ElfError) -> Self {
        Self::Elf(error)
    }
}

impl fmt::Display for KernelError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Elf(error) => error.fmt(f),
            Self::NoNotes => {
                write!(f, "no Xen notes and no __xen_guest section: this is not a PV kernel")
            }
            Self::BadNumber { note } => write!(f, "{note} is not a number"),
            Self::WrongXenVersion { found } if found.is_empty() => {
                write!(f, "XEN_VERSION is missing, expected xen-3.0")
            }
            Self::WrongXenVersion { found } => {
                write!(f, "XEN_VERSION is '{found}', expected xen-3.0")
            }
            Self::WrongLoader { loader, guest_os } => write!(
                f,
                "LOADER is '{loader}' and GUEST_OS is '{guest_os}', expected loader generic or \
                 operating system linux"
            ),
            Self::OffsetWithoutBase => write!(f, "PADDR_OFFSET without VIRT_BASE"),
            Self::UnknownRequiredFeature { name } => {
                write!(f, "the kernel requires the unknown feature '{name}'")
            }
            Self::RefusedFeature { name } => {
                write!(f, "the kernel requires {name}, which PV64 guests do not have")
            }
            Self::NotADom0Kernel => write!(
                f,
                "the kernel's SUPPORTED_FEATURES lack dom0: it cannot be the control domain"
            ),
            Self::NoSegments => write!(f, "the ELF file has no loadable segment"),
            Self::SegmentsOverlap { paddr } => {
                write!(f, "two segments overlap at physical address {paddr:#x}")
            }
            Self::BelowOffset { paddr, paddr_offset } => write!(
                f,
                "a segment at physical address {paddr:#x} lies below PADDR_OFFSET {paddr_offset:#x}"
            ),
            Self::BadAddressRange { what, start, len } => write!(
                f,
                "{what} at {start:#x} ({len:#x} bytes) leaves the addresses a guest may use"
            ),
            Self::Unaligned { note, va } => write!(f, "{note} {va:#x} is not page aligned"),
            Self::Misplaced { note, va, kstart, kend } => {
                write!(f, "{note} {va:#x} does not fit the kernel image {kstart:#x} to {kend:#x}")
            }
        }
    }
}

impl core::error::Error for KernelError {}

/// Why a sound kernel cannot be started with the given parameters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PlanError {
    /// The kernel itself is refused for this kind of domain or leaves the address space.
    Kernel(KernelError),
    /// The domain has too little memory.
    TooLittleMemory {
        /// Pages needed for the start of day.
        needed_pages: u64,
        /// Pages the domain has.
        given_pages: u64,
    },
    /// The command line does not fit its field.
    CommandLineTooLong {
        /// Bytes it has.
        len: usize,
    },
    /// The command line contains a NUL byte, which would end it early.
    CommandLineHasNul,
    /// What follows the start info structure does not fit its page.
    StartInfoTooLong {
        /// Bytes wanted behind the structure.
        extra: usize,
    },
    /// Numbers so large that their sums overflow.
    TooLarge,
}

impl From<KernelError> for PlanError {
    fn from(error: KernelError) -> Self {
        Self::Kernel(error)
    }
}

const fn mib_rounded_up(pages: u64) -> u64 {
    pages.div_ceil(256)
}

impl fmt::Display for PlanError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kernel(error) => error.fmt(f),
            Self::TooLittleMemory { needed_pages, given_pages } => write!(
                f,
                "too little memory: kernel and ramdisk need at least {} MiB, the domain has {} MiB",
                mib_rounded_up(*needed_pages),
                given_pages / 256
            ),
            Self::CommandLineTooLong { len } => {
                write!(f, "the command line has {len} bytes, at most 1023 fit")
            }
            Self::CommandLineHasNul => write!(f, "the command line contains a NUL byte"),
            Self::StartInfoTooLong { extra } => {
                write!(f, "{extra} bytes do not fit behind the start info structure")
            }
            Self::TooLarge => write!(f, "the sizes of kernel, ramdisk and memory overflow"),
        }
    }
}

impl core::error::Error for PlanError {}
