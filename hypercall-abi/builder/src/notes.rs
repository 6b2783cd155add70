//! What a kernel says about itself: Xen's ELF notes, or the older `__xen_guest` string.
//!
//! Called by `KernelInfo::parse`. The first source that yields at least one note wins: note
//! segments, then note sections, then the string. Unknown notes are ignored, as Xen does.
//!
//! Invariant: a value is only taken from bytes inside the file; nothing is decided here about
//! whether the values make sense together.

use crate::elf::{self, Elf, SHT_NOTE};
use crate::error::KernelError;
use alloc::string::String;
use alloc::vec::Vec;
use hypercall_abi::elfnote;

/// Where the kernel's description was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoteSource {
    /// Segments of type `PT_NOTE`.
    Segments,
    /// Sections of type `SHT_NOTE`.
    Sections,
    /// The string in section `__xen_guest`.
    LegacyString,
}

/// Every value as the kernel gave it, before any default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RawNotes {
    /// Virtual entry address.
    pub entry: Option<u64>,
    /// Address of the page to fill with hypercall stubs.
    pub hypercall_page: Option<u64>,
    /// Virtual address of pseudo-physical address 0.
    pub virt_base: Option<u64>,
    /// What to subtract from `p_paddr`.
    pub paddr_offset: Option<u64>,
    /// Interface version.
    pub xen_version: Option<String>,
    /// Operating system.
    pub guest_os: Option<String>,
    /// Version of the operating system.
    pub guest_version: Option<String>,
    /// Kind of loader.
    pub loader: Option<String>,
    /// PAE wishes of a 32-bit kernel; `yes` changes the start info magic of dom0.
    pub pae_mode: Option<String>,
    /// Feature names separated by bars.
    pub features: Option<String>,
    /// Bitmap of supported features.
    pub supported_features: Option<u64>,
    /// Whether to load the symbol table.
    pub bsd_symtab: Option<String>,
    /// Lowest address the kernel leaves to the hypervisor.
    pub hv_start_low: Option<u64>,
    /// Mask and value pairs that recognise valid L1 entries.
    pub l1_mfn_valid: Vec<(u64, u64)>,
    /// Whether a suspend may be cancelled.
    pub suspend_cancel: Option<u64>,
    /// Where to map the initial P2M.
    pub init_p2m: Option<u64>,
    /// Whether the ramdisk may stay unmapped.
    pub mod_start_pfn: Option<u64>,
}

/// Reads the first source that has Xen notes.
///
/// # Errors
/// `NoNotes` when no source has any, and the fault of the first malformed value.
pub fn read(elf: &Elf<'_>) -> Result<(RawNotes, NoteSource), KernelError> {
    let segments = elf
        .segments()
        .iter()
        .filter(|segment| segment.kind == elf::PT_NOTE && segment.offset != 0)
        .map(|segment| elf.segment_bytes(segment));
    if let Some(notes) = from_areas(segments)? {
        return Ok((notes, NoteSource::Segments));
    }
    let sections = elf.sections();
    let areas = sections.iter().filter(|section| section.kind == SHT_NOTE).map(|s| s.data);
    if let Some(notes) = from_areas(areas)? {
        return Ok((notes, NoteSource::Sections));
    }
    match sections.iter().find(|section| section.name == b"__xen_guest") {
        Some(section) => Ok((crate::legacy::read(section.data)?, NoteSource::LegacyString)),
        None => Err(KernelError::NoNotes),
    }
}

fn from_areas<'a>(areas: impl Iterator<Item = &'a [u8]>) -> Result<Option<RawNotes>, KernelError> {
    let mut notes = RawNotes::default();
    let mut count = 0_u32;
    for note in areas.flat_map(NoteIter::new) {
        if note.name == b"Xen\0" {
            notes.take(note.kind, note.desc)?;
            count = count.saturating_add(1);
        }
    }
    Ok((count != 0).then_some(notes))
}

impl RawNotes {
    fn take(&mut self, note: u32, desc: &[u8]) -> Result<(), KernelError> {
        match note {
            elfnote::ENTRY => self.entry = Some(number("ENTRY", desc)?),
            elfnote::HYPERCALL_PAGE => self.hypercall_page = Some(number("HYPERCALL_PAGE", desc)?),
            elfnote::VIRT_BASE => self.virt_base = Some(number("VIRT_BASE", desc)?),
            elfnote::PADDR_OFFSET => self.paddr_offset = Some(number("PADDR_OFFSET", desc)?),
            elfnote::XEN_VERSION => self.xen_version = Some(text(desc)),
            elfnote::GUEST_OS => self.guest_os = Some(text(desc)),
            elfnote::GUEST_VERSION => self.guest_version = Some(text(desc)),
            elfnote::LOADER => self.loader = Some(text(desc)),
            elfnote::PAE_MODE => self.pae_mode = Some(text(desc)),
            elfnote::FEATURES => self.features = Some(text(desc)),
            elfnote::BSD_SYMTAB => self.bsd_symtab = Some(text(desc)),
            elfnote::HV_START_LOW => self.hv_start_low = Some(number("HV_START_LOW", desc)?),
            elfnote::L1_MFN_VALID => self.l1_mfn_valid = pairs(desc),
            elfnote::SUSPEND_CANCEL => self.suspend_cancel = Some(number("SUSPEND_CANCEL", desc)?),
            elfnote::INIT_P2M => self.init_p2m = Some(number("INIT_P2M", desc)?),
            elfnote::MOD_START_PFN => self.mod_start_pfn = Some(number("MOD_START_PFN", desc)?),
            elfnote::SUPPORTED_FEATURES => {
                self.supported_features = Some(number("SUPPORTED_FEATURES", desc)?);
            }
            _ => {}
        }
        Ok(())
    }
}

fn number(note: &'static str, desc: &[u8]) -> Result<u64, KernelError> {
    match desc.len() {
        1 => Ok(desc.iter().copied().map(u64::from).sum()),
        2 => Ok(u64::from(elf::u16_at(desc, 0))),
        4 => Ok(u64::from(elf::u32_at(desc, 0))),
        8 => Ok(elf::u64_at(desc, 0)),
        _ => Err(KernelError::BadNumber { note }),
    }
}

/// A string of a kernel; bytes that are no UTF-8 are replaced, they can only spoil a message.
pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(elf::until_nul(bytes)).into_owned()
}

fn pairs(desc: &[u8]) -> Vec<(u64, u64)> {
    desc.chunks_exact(16).map(|pair| (elf::u64_at(pair, 0), elf::u64_at(pair, 8))).collect()
}

struct Note<'a> {
    name: &'a [u8],
    kind: u32,
    desc: &'a [u8],
}

/// The notes of one area; ends at the first one that is cut off.
struct NoteIter<'a> {
    rest: &'a [u8],
}

impl<'a> NoteIter<'a> {
    fn new(area: &'a [u8]) -> Self {
        Self { rest: area }
    }

    /// Cuts `len` bytes off the front, and the padding to four bytes behind them if it exists.
    fn cut(&mut self, len: u32) -> Option<&'a [u8]> {
        let len = usize::try_from(len).ok()?;
        let bytes = self.rest.get(..len)?;
        let padded = len.checked_next_multiple_of(4)?.min(self.rest.len());
        self.rest = self.rest.get(padded..)?;
        Some(bytes)
    }
}

impl<'a> Iterator for NoteIter<'a> {
    type Item = Note<'a>;

    fn next(&mut self) -> Option<Note<'a>> {
        let header = self.cut(12)?;
        let name = self.cut(elf::u32_at(header, 0))?;
        let desc = self.cut(elf::u32_at(header, 4))?;
        Some(Note { name, kind: elf::u32_at(header, 8), desc })
    }
}
