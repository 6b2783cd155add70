//! Where everything of a PV64 start of day goes.
//!
//! `Plan::new` is called by the hypervisor for dom0 and by the toolstack for every other domain.
//! The result is data: pseudo-physical regions, addresses and the initial registers. Applying it
//! (allocating frames, copying, pinning) is the caller's work.
//!
//! Invariants: regions are disjoint and lie below `nr_pages`; every address of a region inside the
//! kernel mapping is `virt_base + pfn * 4096`; page tables exist for exactly the mapped ranges.
//!
//! Order inside the mapping (upwards from pseudo-physical 0): kernel, ramdisk, P2M, start info,
//! xenstore ring, console ring, page tables, boot stack, slack. Behind it, unmapped: ramdisk and
//! P2M of kernels that want them there.
//!
//! Frames are expected to be zero before the plan is applied: gaps between segments, the rest of
//! the last page of each region, ring pages, the boot stack and table entries that are not
//! mentioned are never written.

use crate::error::{KernelError, PlanError};
use crate::kernel::KernelInfo;
use crate::tables::{Area, TableSet};
use alloc::string::String;
use hypercall_abi::addr::{guest_range, GuestVa, Pfn, PAGE_SIZE};
use hypercall_abi::start_info::{StartInfo, MAX_GUEST_CMDLINE};
use hypercall_abi::version::xenfeat;

const PAGE: u64 = PAGE_SIZE as u64;
/// Bytes of the start info structure; what follows it in its page is free.
pub const START_INFO_LEN: usize = size_of::<StartInfo>();
/// The initial mapping ends at a multiple of this many pages (4 MiB).
pub const MAPPING_ALIGN_PAGES: u64 = 1024;
/// Mapped pages (512 KiB) that a kernel may use behind its boot stack.
pub const SLACK_PAGES: u64 = 128;
/// Pages of the boot stack.
const BOOT_STACK_PAGES: u64 = 1;

/// Who builds the domain, which decides details of the layout and of the page-table entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BuildKind {
    /// The hypervisor builds the control domain: no xenstore and console pages.
    Dom0,
    /// The toolstack builds a domain.
    DomU,
}

/// What the person or the boot loader asked for.
#[derive(Clone, Copy, Debug)]
pub struct Params<'a> {
    /// Kind of domain.
    pub kind: BuildKind,
    /// Pages of memory of the domain.
    pub nr_pages: u64,
    /// Bytes of the ramdisk, if there is one.
    pub ramdisk_len: Option<u64>,
    /// Command line.
    pub cmdline: &'a str,
    /// Bytes to reserve behind the start info structure (dom0's screen description).
    pub start_info_extra: usize,
}

/// A run of pseudo-physical frames with one purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Region {
    /// First frame.
    pub first: Pfn,
    /// Number of frames.
    pub pages: u64,
    /// Virtual address of the first byte, where the region is mapped.
    pub va: Option<u64>,
}

impl Region {
    /// The frame behind the region.
    #[must_use]
    pub fn end(&self) -> Pfn {
        Pfn::new(self.first.get() + self.pages)
    }

    /// Whether a frame belongs to the region.
    #[must_use]
    pub fn contains(&self, pfn: Pfn) -> bool {
        (self.first..self.end()).contains(&pfn)
    }
}

/// The registers and addresses of the first instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EntryState {
    /// Entry point.
    pub rip: u64,
    /// End of the boot stack, also the kernel stack of the first bounce.
    pub rsp: u64,
    /// Virtual address of the start info, passed in `rsi`.
    pub start_info: u64,
    /// Frame of the root page table.
    pub root: Pfn,
}

/// The complete plan of a start of day.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Kind of domain.
    pub kind: BuildKind,
    /// Pages of memory of the domain.
    pub nr_pages: u64,
    /// Virtual address of pseudo-physical address 0.
    pub virt_base: u64,
    /// Frames from pseudo-physical 0 that the kernel mapping covers.
    pub mapped_pages: u64,
    /// The kernel with its symbol table, including the gaps between segments.
    pub kernel: Region,
    /// The frame to fill with hypercall stubs.
    pub hypercall_page: Option<Pfn>,
    /// The ramdisk.
    pub ramdisk: Option<Region>,
    /// Exact length of the ramdisk in bytes.
    pub ramdisk_len: u64,
    /// The P2M array.
    pub p2m: Region,
    /// Page tables of a P2M outside the kernel mapping; empty otherwise.
    pub p2m_tables: Region,
    /// The start info page.
    pub start_info: Region,
    /// The xenstore ring page.
    pub xenstore: Option<Region>,
    /// The console ring page.
    pub console: Option<Region>,
    /// Page tables of the kernel mapping, root first.
    pub tables: Region,
    /// The boot stack.
    pub boot_stack: Region,
    /// Registers of the first instruction.
    pub entry: EntryState,
    /// Whether the P2M is mapped at the kernel's own address instead of inside its mapping.
    pub has_separate_p2m: bool,
    /// Command line for the start info.
    pub cmdline: String,
    /// Whether the magic of dom0 ends in `p`.
    pub pae_mode_yes: bool,
    pub(crate) kernel_tables: TableSet,
    pub(crate) p2m_table_set: TableSet,
}

/// Hands out frames upwards and knows their addresses.
struct Cursor {
    next: u64,
    virt_base: u64,
}

impl Cursor {
    fn take(&mut self, pages: u64) -> Result<Region, PlanError> {
        let mut region = self.take_unmapped(pages)?;
        region.va = Some(va_of(self.virt_base, region.first)?);
        Ok(region)
    }

    fn take_unmapped(&mut self, pages: u64) -> Result<Region, PlanError> {
        let first = Pfn::new(self.next);
        self.next = self.next.checked_add(pages).ok_or(PlanError::TooLarge)?;
        Ok(Region { first, pages, va: None })
    }

    fn take_if(&mut self, is_wanted: bool, pages: u64) -> Result<Option<Region>, PlanError> {
        is_wanted.then(|| self.take(pages)).transpose()
    }
}

fn va_of(virt_base: u64, pfn: Pfn) -> Result<u64, PlanError> {
    let offset = pfn.get().checked_mul(PAGE);
    offset.and_then(|offset| virt_base.checked_add(offset)).ok_or(PlanError::TooLarge)
}

impl Plan {
    /// Plans the start of day of a kernel.
    ///
    /// # Errors
    /// What about the kernel, the memory or the parameters makes it impossible.
    pub fn new(kernel: &KernelInfo, params: Params<'_>) -> Result<Self, PlanError> {
        check_params(kernel, &params)?;
        let virt_base = kernel.virt_base;
        let is_dom_u = params.kind == BuildKind::DomU;
        let ramdisk_len = params.ramdisk_len.unwrap_or(0);
        let ramdisk_pages = ramdisk_len.div_ceil(PAGE);
        let p2m_bytes = params.nr_pages.checked_mul(8).ok_or(PlanError::TooLarge)?;
        let p2m_pages = p2m_bytes.div_ceil(PAGE);
        let has_separate_p2m = kernel.init_p2m.is_some();
        let ramdisk_is_mapped = ramdisk_pages != 0 && !kernel.mod_start_pfn;

        let mut cursor = Cursor { next: 0, virt_base };
        let image = cursor.take((kernel.virt_kend - virt_base).div_ceil(PAGE))?;
        let mapped_ramdisk = cursor.take_if(ramdisk_is_mapped, ramdisk_pages)?;
        let mapped_p2m = cursor.take_if(!has_separate_p2m, p2m_pages)?;
        let start_info = cursor.take(1)?;
        let xenstore = cursor.take_if(is_dom_u, 1)?;
        let console = cursor.take_if(is_dom_u, 1)?;

        let (mapped_pages, table_pages) = mapping_size(virt_base, cursor.next)?;
        let tables = cursor.take(table_pages)?;
        let boot_stack = cursor.take(BOOT_STACK_PAGES)?;
        let area = mapping_area(virt_base, mapped_pages)?;
        let kernel_tables = TableSet::new(area, Pfn::new(0), tables.first, None);

        cursor.next = mapped_pages;
        let ramdisk = match mapped_ramdisk {
            None if ramdisk_pages != 0 => Some(cursor.take_unmapped(ramdisk_pages)?),
            mapped => mapped,
        };
        let (p2m, p2m_table_set) = match (mapped_p2m, kernel.init_p2m) {
            (None, Some(va)) => separate_p2m(&mut cursor, va, p2m_pages, &kernel_tables)?,
            (Some(region), _) => (region, TableSet::empty()),
            (None, None) => (cursor.take_unmapped(p2m_pages)?, TableSet::empty()),
        };
        let p2m_tables = cursor.take_unmapped(p2m_table_set.len())?;
        check_memory(cursor.next, params.nr_pages)?;

        Ok(Self {
            kind: params.kind,
            nr_pages: params.nr_pages,
            virt_base,
            mapped_pages,
            kernel: image,
            hypercall_page: kernel.hypercall_page.map(|va| Pfn::from_paddr(va - virt_base)),
            ramdisk,
            ramdisk_len,
            p2m,
            p2m_tables,
            start_info,
            xenstore,
            console,
            tables,
            boot_stack,
            entry: EntryState {
                rip: kernel.entry,
                rsp: va_of(virt_base, boot_stack.end())?,
                start_info: va_of(virt_base, start_info.first)?,
                root: tables.first,
            },
            has_separate_p2m,
            cmdline: params.cmdline.into(),
            pae_mode_yes: kernel.pae_mode_yes,
            kernel_tables,
            p2m_table_set,
        })
    }

    /// First virtual address behind the kernel mapping.
    #[must_use]
    pub fn map_end(&self) -> u64 {
        self.virt_base + self.mapped_pages * PAGE
    }

    /// Whether a frame is one of the page tables.
    #[must_use]
    pub fn is_table(&self, pfn: Pfn) -> bool {
        self.tables.contains(pfn) || self.p2m_tables.contains(pfn)
    }
}

fn check_params(kernel: &KernelInfo, params: &Params<'_>) -> Result<(), PlanError> {
    let len = params.cmdline.len();
    if len >= MAX_GUEST_CMDLINE {
        return Err(PlanError::CommandLineTooLong { len });
    }
    if params.cmdline.contains('\0') {
        return Err(PlanError::CommandLineHasNul);
    }
    if params.start_info_extra > PAGE_SIZE - START_INFO_LEN {
        return Err(PlanError::StartInfoTooLong { extra: params.start_info_extra });
    }
    match params.kind {
        BuildKind::Dom0 if !kernel.features.allows_dom0() => {
            Err(KernelError::NotADom0Kernel.into())
        }
        BuildKind::DomU if kernel.features.requires(xenfeat::DOM0) => {
            Err(KernelError::RefusedFeature { name: "dom0" }.into())
        }
        _ => Ok(()),
    }
}

fn check_memory(needed_pages: u64, given_pages: u64) -> Result<(), PlanError> {
    if needed_pages > given_pages {
        return Err(PlanError::TooLittleMemory { needed_pages, given_pages });
    }
    Ok(())
}

/// Pages the kernel mapping covers, and its page tables, when `used` pages come before the tables.
///
/// The end depends on the number of tables and that number on the end, so it is searched upwards;
/// the search ends because each round adds 4 MiB but at most a handful of tables.
fn mapping_size(virt_base: u64, used: u64) -> Result<(u64, u64), PlanError> {
    let base_page = virt_base / PAGE;
    let mut reserve = BOOT_STACK_PAGES + SLACK_PAGES;
    loop {
        let need = used.checked_add(reserve).ok_or(PlanError::TooLarge)?;
        let end = base_page.checked_add(need).ok_or(PlanError::TooLarge)?;
        let aligned =
            end.checked_next_multiple_of(MAPPING_ALIGN_PAGES).ok_or(PlanError::TooLarge)?;
        let mapped_pages = aligned - base_page;
        let area = mapping_area(virt_base, mapped_pages)?;
        let tables = TableSet::new(area, Pfn::new(0), Pfn::new(0), None).len();
        reserve = tables + BOOT_STACK_PAGES + SLACK_PAGES;
        if used.checked_add(reserve).is_some_and(|need| need <= mapped_pages) {
            return Ok((mapped_pages, tables));
        }
    }
}

fn mapping_area(virt_base: u64, pages: u64) -> Result<Area, PlanError> {
    checked_area("the kernel mapping", virt_base, pages)
}

fn checked_area(what: &'static str, start: u64, pages: u64) -> Result<Area, PlanError> {
    let len = pages.checked_mul(PAGE).ok_or(PlanError::TooLarge)?;
    // The end itself must be an address too: nothing may be planned up to the very last byte.
    if start.checked_add(len).is_none() || !guest_range(GuestVa::new(start), len) {
        return Err(KernelError::BadAddressRange { what, start, len }.into());
    }
    Ok(Area::new(start, pages))
}

fn separate_p2m(
    cursor: &mut Cursor,
    va: u64,
    pages: u64,
    kernel_tables: &TableSet,
) -> Result<(Region, TableSet), PlanError> {
    let what = "the P2M at INIT_P2M";
    let area = checked_area(what, va, pages)?;
    if area.overlaps(kernel_tables.area()) {
        let len = pages.saturating_mul(PAGE);
        return Err(KernelError::BadAddressRange { what, start: va, len }.into());
    }
    let mut region = cursor.take_unmapped(pages)?;
    region.va = Some(va);
    let set = TableSet::new(area, region.first, region.end(), Some(kernel_tables));
    Ok((region, set))
}
