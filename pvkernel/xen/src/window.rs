//! Ranges of addresses for mappings made on demand.
//!
//! The window hands out page ranges (thread stacks, registers of devices, foreign frames) and maps entries there. Page
//! tables for it are made when first needed and kept. The lowest free range is used, so that the
//! same tables serve again and again.

use pvkernel_core::platform::{MapError, OutOfMemory};
use pvkernel_core::ranges::Ranges;
use pvkernel_core::sync::Lock;

use crate::layout::{Pfn, PAGE, WINDOW_BASE, WINDOW_PAGES};
use crate::mmu;

static USED: Lock<Ranges> = Lock::new(Ranges::new(WINDOW_PAGES));

/// A range of addresses; nothing is mapped in it at first and when it is dropped.
#[derive(Debug)]
pub struct Range {
    first: usize,
    pages: usize,
    mapped_from: usize,
    mapped: usize,
}

impl Range {
    /// Takes a range of `pages` pages and makes page tables for it.
    ///
    /// # Errors
    /// When the window is full or there is no memory for page tables.
    pub fn new(pages: usize) -> Result<Self, OutOfMemory> {
        let first = USED.lock().take(pages).ok_or(OutOfMemory)?;
        let range = Self { first, pages, mapped_from: 0, mapped: 0 };
        mmu::ensure_tables(range.start(), pages)?;
        Ok(range)
    }

    /// First address.
    #[must_use]
    pub const fn start(&self) -> u64 {
        WINDOW_BASE + self.first as u64 * PAGE
    }

    /// Pages in the range.
    #[must_use]
    pub const fn pages(&self) -> usize {
        self.pages
    }

    /// Writes entries for consecutive pages from page `skip` on. May be called once per range.
    ///
    /// # Errors
    /// `Refused` by the machine; nothing stays mapped then.
    ///
    /// # Panics
    /// If the entries do not fit or something is mapped already.
    pub fn map(&mut self, skip: usize, entries: impl Iterator<Item = u64>) -> Result<(), MapError> {
        self.map_by(skip, entries, |start, entries| {
            // SAFETY: the range is ours and nothing is mapped in it, so no memory in use changes.
            unsafe { mmu::write_entries(start, entries) }
        })
    }

    /// As `map`, with another way of writing entries.
    ///
    /// # Errors
    /// What `write` says; nothing stays mapped then.
    pub(crate) fn map_by<E>(
        &mut self,
        skip: usize,
        entries: impl Iterator<Item = u64>,
        write: impl FnOnce(u64, &mut dyn Iterator<Item = u64>) -> Result<usize, (E, usize)>,
    ) -> Result<(), E> {
        assert_eq!(self.mapped, 0, "a range is mapped twice");
        self.mapped_from = skip;
        let start = self.start() + skip as u64 * PAGE;
        let (count, result) = match write(start, &mut entries.take(self.pages - skip)) {
            Ok(count) => (count, Ok(())),
            Err((error, count)) => (count, Err(error)),
        };
        self.mapped = count;
        if result.is_err() {
            self.unmap();
        }
        result
    }

    /// Maps consecutive frames of ours, to be read and written; as `map`.
    ///
    /// # Errors
    /// As `map`.
    pub fn map_frames(&mut self, skip: usize, first: Pfn, pages: usize) -> Result<(), MapError> {
        let entry = |at: u64| mmu::frame_entry(Pfn::new(first.get() + at), mmu::KERNEL_RW);
        self.map(skip, (0..pages as u64).map(entry))
    }

    /// Removes what is mapped.
    pub fn unmap(&mut self) {
        if self.mapped == 0 {
            return;
        }
        let start = self.start() + self.mapped_from as u64 * PAGE;
        let mut zeros = core::iter::repeat_n(0, self.mapped);
        // SAFETY: the range is ours; its user gives the mapping up by this call or by `Drop`.
        let result = unsafe { mmu::write_entries(start, &mut zeros) };
        assert!(result.is_ok(), "entries of the window cannot be cleared");
        mmu::flush(start, self.mapped);
        self.mapped = 0;
    }
}

impl Drop for Range {
    fn drop(&mut self) {
        self.unmap();
        USED.lock().release(self.first);
    }
}

/// Pages of the window in use.
pub(crate) fn used_pages() -> usize {
    USED.lock().taken()
}
