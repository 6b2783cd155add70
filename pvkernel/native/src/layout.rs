//! Where things are in the kernel's address space.
//!
//! | range | what |
//! |---|---|
//! | `VIRT_BASE` up | the image, each section with its own rights |
//! | `DIRECT_BASE` up | all memory, in physical order |
//! | `WINDOW_BASE` up | ranges made on demand: thread stacks, registers of devices |
//!
//! Slots 0 to 255 of a root table are a program's; the others are the same in all roots.

pub use crate::pfn::Pfn;

/// Address of physical 0 in the image's mapping; also in `link.ld`.
pub const VIRT_BASE: u64 = 0xffff_ffff_8000_0000;
/// Start of the direct map: slot 272.
pub const DIRECT_BASE: u64 = 0xffff_8800_0000_0000;
/// Start of the window: slot 273.
pub const WINDOW_BASE: u64 = 0xffff_8880_0000_0000;
/// Pages in the window: 64 GiB.
pub const WINDOW_PAGES: usize = 1 << 24;
/// Bytes in a page.
pub const PAGE: u64 = 4096;

/// Address of a frame in the direct map.
#[must_use]
pub const fn direct_va(pfn: Pfn) -> u64 {
    DIRECT_BASE + pfn.get() * PAGE
}

/// Address of a frame in the image's mapping; meaningful for frames of the image.
#[must_use]
pub const fn initial_va(pfn: Pfn) -> u64 {
    VIRT_BASE + pfn.get() * PAGE
}

/// The frame behind an address of the image's mapping or of the direct map.
#[must_use]
pub const fn pfn_of(va: u64) -> Option<Pfn> {
    if va >= VIRT_BASE {
        Some(Pfn::new((va - VIRT_BASE) / PAGE))
    } else if va >= DIRECT_BASE && va < WINDOW_BASE {
        Some(Pfn::new((va - DIRECT_BASE) / PAGE))
    } else {
        None
    }
}
