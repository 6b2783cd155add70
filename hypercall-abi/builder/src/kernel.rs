//! What a PV64 kernel wants and where its image goes.
//!
//! `KernelInfo::parse` is the first step of building a domain, in the hypervisor for dom0 and in
//! the toolstack for every other domain. It combines the notes with the ELF segments, fills in the
//! defaults and refuses kernels that cannot run.
//!
//! Invariant: all segments lie in `[virt_kstart, virt_kend)`, that range is guest-accessible, and
//! `va = virt_base + (p_paddr - paddr_offset)` holds for every byte of the image.
//!
//! It does not copy the kernel and does not know how much memory the domain has.

use crate::elf::{Elf, Segment};
use crate::error::KernelError;
use crate::features::Features;
use crate::notes::{self, NoteSource, RawNotes};
use crate::symtab::{self, SymbolTable};
use alloc::string::String;
use alloc::vec::Vec;
use hypercall_abi::addr::{guest_range, GuestVa, PAGE_SIZE};

const PAGE: u64 = PAGE_SIZE as u64;

/// A part of the file to copy into the domain's memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileCopy {
    /// Pseudo-physical address of the first byte.
    pub paddr: u64,
    /// Virtual address of the first byte.
    pub va: u64,
    /// First byte in the file.
    pub file_offset: u64,
    /// Bytes to copy.
    pub file_len: u64,
    /// Bytes of memory; those beyond `file_len` are to be zeroed.
    pub mem_len: u64,
}

/// Everything the image says that matters for starting it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KernelInfo {
    /// Virtual entry address.
    pub entry: u64,
    /// Virtual address of pseudo-physical address 0.
    pub virt_base: u64,
    /// What was subtracted from the physical addresses of the segments.
    pub paddr_offset: u64,
    /// Address of the page to fill with hypercall stubs, if the kernel wants one.
    pub hypercall_page: Option<u64>,
    /// Where to map the initial P2M, if the kernel wants it outside its own mapping and the
    /// address can be used.
    pub init_p2m: Option<u64>,
    /// Whether the ramdisk may stay unmapped.
    pub mod_start_pfn: bool,
    /// What the kernel supports and requires.
    pub features: Features,
    /// Operating system.
    pub guest_os: String,
    /// Version of the operating system.
    pub guest_version: String,
    /// Kind of loader.
    pub loader: String,
    /// Interface version.
    pub xen_version: String,
    /// Whether the note PAE_MODE is `yes`.
    pub pae_mode_yes: bool,
    /// Lowest address the kernel leaves to the hypervisor.
    pub hv_start_low: Option<u64>,
    /// Whether a suspend may be cancelled.
    pub suspend_cancel: bool,
    /// Mask and value pairs that recognise valid L1 entries.
    pub l1_mfn_valid: Vec<(u64, u64)>,
    /// Where the description was found.
    pub source: NoteSource,
    /// First virtual address of the image.
    pub virt_kstart: u64,
    /// First virtual address behind the image and its symbol table.
    pub virt_kend: u64,
    /// The loaded segments, ascending by address.
    pub segments: Vec<FileCopy>,
    /// The symbol table to load behind the kernel, if the kernel wants one and has one.
    pub symbol_table: Option<SymbolTable>,
}

impl KernelInfo {
    /// Reads and checks a kernel image.
    ///
    /// # Errors
    /// The first reason why this is no PV64 kernel that can be started.
    pub fn parse(image: &[u8]) -> Result<Self, KernelError> {
        let elf = Elf::parse(image)?;
        let (raw, source) = notes::read(&elf)?;
        check_identity(&raw)?;
        if raw.paddr_offset.is_some() && raw.virt_base.is_none() {
            return Err(KernelError::OffsetWithoutBase);
        }
        let virt_base = raw.virt_base.unwrap_or(0);
        let paddr_offset = raw.paddr_offset.unwrap_or(0);
        let mut segments = place_segments(&elf, virt_base, paddr_offset)?;
        check_overlaps(&mut segments)?;
        let (virt_kstart, image_end) = extent(&segments)?;
        let wants_symbols = raw.bsd_symtab.as_deref() == Some("yes");
        let symbol_table = match wants_symbols {
            true => symtab::plan(&elf, image_end, virt_base),
            false => None,
        };
        let virt_kend = symbol_table.as_ref().map_or(image_end, SymbolTable::end_va);
        let info = Self {
            entry: raw.entry.unwrap_or_else(|| elf.entry()),
            virt_base,
            paddr_offset,
            hypercall_page: raw.hypercall_page,
            init_p2m: usable_init_p2m(raw.init_p2m, virt_base),
            mod_start_pfn: raw.mod_start_pfn.unwrap_or(0) != 0,
            features: Features::parse(raw.features.as_deref(), raw.supported_features)?,
            guest_os: raw.guest_os.unwrap_or_default(),
            guest_version: raw.guest_version.unwrap_or_default(),
            loader: raw.loader.unwrap_or_default(),
            xen_version: raw.xen_version.unwrap_or_default(),
            pae_mode_yes: raw.pae_mode.as_deref() == Some("yes"),
            hv_start_low: raw.hv_start_low,
            suspend_cancel: raw.suspend_cancel.unwrap_or(0) != 0,
            l1_mfn_valid: raw.l1_mfn_valid,
            source,
            virt_kstart,
            virt_kend,
            segments,
            symbol_table,
        };
        info.check_addresses(raw.init_p2m)?;
        Ok(info)
    }

    /// Everything to copy out of the file: the segments, then the two parts of the symbol table.
    /// The head of the symbol table is not in the file, see [`SymbolTable::head`].
    pub fn copies(&self) -> impl Iterator<Item = FileCopy> + '_ {
        let symbols = self.symbol_table.iter().flat_map(|table| [table.symbols, table.strings]);
        self.segments.iter().copied().chain(symbols)
    }

    fn check_addresses(&self, init_p2m: Option<u64>) -> Result<(), KernelError> {
        let (kstart, kend) = (self.virt_kstart, self.virt_kend);
        let misplaced = |note, va| KernelError::Misplaced { note, va, kstart, kend };
        if !self.virt_base.is_multiple_of(PAGE) {
            return Err(KernelError::Unaligned { note: "VIRT_BASE", va: self.virt_base });
        }
        let len = kend.saturating_sub(self.virt_base);
        if !guest_range(GuestVa::new(self.virt_base), len) {
            let start = self.virt_base;
            return Err(KernelError::BadAddressRange { what: "the kernel image", start, len });
        }
        if self.entry < kstart || self.entry > kend {
            return Err(misplaced("ENTRY", self.entry));
        }
        if let Some(va) = init_p2m.filter(|va| (kstart..kend).contains(va)) {
            return Err(misplaced("INIT_P2M", va));
        }
        if let Some(va) = self.hypercall_page {
            if va % PAGE != 0 {
                return Err(KernelError::Unaligned { note: "HYPERCALL_PAGE", va });
            }
            if va < kstart || va >= kend {
                return Err(misplaced("HYPERCALL_PAGE", va));
            }
        }
        Ok(())
    }
}

fn check_identity(raw: &RawNotes) -> Result<(), KernelError> {
    let found = raw.xen_version.clone().unwrap_or_default();
    if !found.starts_with("xen-3.0") {
        return Err(KernelError::WrongXenVersion { found });
    }
    let loader = raw.loader.clone().unwrap_or_default();
    let guest_os = raw.guest_os.clone().unwrap_or_default();
    if !loader.starts_with("generic") && !guest_os.starts_with("linux") {
        return Err(KernelError::WrongLoader { loader, guest_os });
    }
    Ok(())
}

/// Xen's builder falls back to a P2M inside the kernel mapping for an address it cannot use.
fn usable_init_p2m(init_p2m: Option<u64>, virt_base: u64) -> Option<u64> {
    init_p2m.filter(|va| *va < virt_base && va % PAGE == 0)
}

fn place_segments(
    elf: &Elf<'_>,
    virt_base: u64,
    paddr_offset: u64,
) -> Result<Vec<FileCopy>, KernelError> {
    let loaded = elf.segments().iter().filter(|segment| segment.is_loaded());
    loaded.map(|segment| place(segment, virt_base, paddr_offset)).collect()
}

fn place(segment: &Segment, virt_base: u64, paddr_offset: u64) -> Result<FileCopy, KernelError> {
    let paddr = segment
        .paddr
        .checked_sub(paddr_offset)
        .ok_or(KernelError::BelowOffset { paddr: segment.paddr, paddr_offset })?;
    let wraps = KernelError::BadAddressRange {
        what: "a kernel segment",
        start: virt_base.wrapping_add(paddr),
        len: segment.mem_len,
    };
    let va = virt_base.checked_add(paddr);
    match va.filter(|va| va.checked_add(segment.mem_len).is_some()) {
        None => Err(wraps),
        Some(va) => Ok(FileCopy {
            paddr,
            va,
            file_offset: segment.offset,
            file_len: segment.file_len,
            mem_len: segment.mem_len,
        }),
    }
}

/// Sorts the segments and refuses two for one byte: which of them wins would depend on the order
/// of copying, and the zeroing of one could wipe the other.
fn check_overlaps(segments: &mut [FileCopy]) -> Result<(), KernelError> {
    segments.sort_by_key(|segment| segment.paddr);
    for (low, high) in segments.iter().zip(segments.iter().skip(1)) {
        if low.paddr + low.mem_len > high.paddr {
            return Err(KernelError::SegmentsOverlap { paddr: high.paddr });
        }
    }
    Ok(())
}

fn extent(sorted: &[FileCopy]) -> Result<(u64, u64), KernelError> {
    match (sorted.first(), sorted.last()) {
        (Some(first), Some(last)) => Ok((first.va, last.va + last.mem_len)),
        _ => Err(KernelError::NoSegments),
    }
}
