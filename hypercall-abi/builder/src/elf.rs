//! Reading an ELF64 x86-64 image that nobody has checked.
//!
//! Called by `notes` and `symtab`. The image is a file of a user or a boot module: every offset and
//! length in it is a claim, compared with the file's length before it is used.
//!
//! Invariant: a [`Segment`] or [`Section`] handed out lies wholly inside the file, and adding its
//! sizes to its addresses does not overflow.
//!
//! Nothing is interpreted here beyond the headers: notes and placement are the callers' business.

use alloc::vec::Vec;
use core::fmt;

/// Length of the ELF header.
pub const EHDR_LEN: usize = 64;
const PHDR_LEN: usize = 56;
/// Length of a section header.
pub const SHDR_LEN: usize = 64;

/// A segment to load.
pub const PT_LOAD: u32 = 1;
/// A segment of notes.
pub const PT_NOTE: u32 = 4;
/// A symbol table.
pub const SHT_SYMTAB: u32 = 2;
/// A string table.
pub const SHT_STRTAB: u32 = 3;
/// A section of notes.
pub const SHT_NOTE: u32 = 7;
/// A section without bytes in the file.
pub const SHT_NOBITS: u32 = 8;

const ET_EXEC: u16 = 2;
const ET_DYN: u16 = 3;
const EM_X86_64: u16 = 62;
/// The access bits (read, write, execute) of a segment.
const PF_RWX: u32 = 7;

/// Why an image cannot be read as an ELF64 x86-64 file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ElfError {
    /// The file has no ELF magic.
    NotElf,
    /// The file is compressed with gzip.
    Gzip,
    /// The file is a Linux bzImage, whose payload must be extracted first.
    BzImage,
    /// The file ends inside the ELF header.
    ShortHeader {
        /// Bytes the file has.
        have: u64,
    },
    /// A 32-bit file.
    Not64Bit,
    /// A big-endian file.
    NotLittleEndian,
    /// A file for another processor.
    WrongMachine {
        /// The machine number of the file.
        machine: u16,
    },
    /// A relocatable object or a core dump.
    NotExecutable {
        /// The ELF type of the file.
        kind: u16,
    },
    /// Headers of an unexpected size.
    BadHeaderSize {
        /// Which table.
        table: &'static str,
        /// The size the file claims.
        size: u16,
    },
    /// A table of headers ends beyond the file.
    HeadersOutside {
        /// Which table.
        table: &'static str,
        /// Bytes the table needs the file to have.
        need: u64,
        /// Bytes the file has.
        have: u64,
    },
    /// A segment ends beyond the file.
    SegmentOutside {
        /// Number of the segment.
        index: usize,
        /// Bytes the segment needs the file to have.
        need: u64,
        /// Bytes the file has.
        have: u64,
    },
    /// A segment is larger in the file than in memory.
    SegmentShrinks {
        /// Number of the segment.
        index: usize,
        /// Bytes in the file.
        file_len: u64,
        /// Bytes in memory.
        mem_len: u64,
    },
    /// Address plus length of a segment overflows.
    SegmentWraps {
        /// Number of the segment.
        index: usize,
    },
}

impl fmt::Display for ElfError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::NotElf => write!(f, "not an ELF file"),
            Self::Gzip => write!(f, "the file is compressed with gzip: decompress it first"),
            Self::BzImage => write!(f, "the file is a Linux bzImage: extract its vmlinux first"),
            Self::ShortHeader { have } => {
                write!(f, "the ELF header is cut off (needs 0x40, file has {have:#x})")
            }
            Self::Not64Bit => write!(f, "a 32-bit ELF file; only 64-bit kernels are supported"),
            Self::NotLittleEndian => write!(f, "a big-endian ELF file"),
            Self::WrongMachine { machine } => {
                write!(f, "an ELF file for machine {machine}, expected 62 (x86-64)")
            }
            Self::NotExecutable { kind } => {
                write!(f, "ELF type {kind} is not an executable (2 or 3)")
            }
            Self::BadHeaderSize { table, size } => {
                write!(f, "{table} headers of {size} bytes are not ELF64")
            }
            Self::HeadersOutside { table, need, have } => write!(
                f,
                "the {table} headers end beyond the file (need {need:#x}, file has {have:#x})"
            ),
            Self::SegmentOutside { index, need, have } => write!(
                f,
                "segment {index} ends beyond the file (needs {need:#x}, file has {have:#x})"
            ),
            Self::SegmentShrinks { index, file_len, mem_len } => write!(
                f,
                "segment {index} has {file_len:#x} bytes in the file but {mem_len:#x} in memory"
            ),
            Self::SegmentWraps { index } => {
                write!(f, "segment {index} ends beyond the address space")
            }
        }
    }
}

impl core::error::Error for ElfError {}

/// One program header whose bytes are inside the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Type, `PT_*`.
    pub kind: u32,
    /// Access bits.
    pub flags: u32,
    /// First byte in the file.
    pub offset: u64,
    /// Virtual address it was linked for.
    pub vaddr: u64,
    /// Physical address it was linked for.
    pub paddr: u64,
    /// Bytes in the file.
    pub file_len: u64,
    /// Bytes in memory; those beyond `file_len` are zero.
    pub mem_len: u64,
}

impl Segment {
    /// Whether the segment becomes memory of the kernel.
    #[must_use]
    pub fn is_loaded(&self) -> bool {
        self.kind == PT_LOAD && self.flags & PF_RWX != 0 && self.mem_len != 0
    }
}

/// One section header whose bytes are inside the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Section<'a> {
    /// Name, empty when the name table is unusable.
    pub name: &'a [u8],
    /// Type, `SHT_*`.
    pub kind: u32,
    /// Index of a related section.
    pub link: u32,
    /// First byte in the file.
    pub offset: u64,
    /// The bytes; empty for a section without any.
    pub data: &'a [u8],
    /// The header itself.
    pub header: &'a [u8],
}

/// An image whose ELF header and program headers were found sound.
#[derive(Clone, Debug)]
pub struct Elf<'a> {
    bytes: &'a [u8],
    segments: Vec<Segment>,
}

impl<'a> Elf<'a> {
    /// Checks the ELF header and all program headers.
    ///
    /// # Errors
    /// The first thing that is wrong, in words for the person who chose the file.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, ElfError> {
        check_ident(bytes)?;
        let have = bytes.len() as u64;
        if bytes.len() < EHDR_LEN {
            return Err(ElfError::ShortHeader { have });
        }
        let kind = u16_at(bytes, 16);
        let machine = u16_at(bytes, 18);
        if machine != EM_X86_64 {
            return Err(ElfError::WrongMachine { machine });
        }
        if kind != ET_EXEC && kind != ET_DYN {
            return Err(ElfError::NotExecutable { kind });
        }
        let table = header_table(bytes, "program", u64_at(bytes, 32), 54, PHDR_LEN)?;
        let mut segments = Vec::with_capacity(table.len() / PHDR_LEN);
        for (index, header) in table.chunks_exact(PHDR_LEN).enumerate() {
            segments.push(check_segment(index, header, have)?);
        }
        Ok(Self { bytes, segments })
    }

    /// The whole file.
    #[must_use]
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// The entry address of the ELF header.
    #[must_use]
    pub fn entry(&self) -> u64 {
        u64_at(self.bytes, 24)
    }

    /// All segments in the order of the file.
    #[must_use]
    pub fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// The bytes of a segment in the file.
    #[must_use]
    pub fn segment_bytes(&self, segment: &Segment) -> &'a [u8] {
        slice(self.bytes, segment.offset, segment.file_len).unwrap_or(&[])
    }

    /// All sections that lie inside the file. A stripped or damaged section table yields nothing:
    /// a kernel is loaded by its segments, so bad sections are no reason to refuse it.
    #[must_use]
    pub fn sections(&self) -> Vec<Section<'a>> {
        let offset = u64_at(self.bytes, 40);
        let Ok(table) = header_table(self.bytes, "section", offset, 58, SHDR_LEN) else {
            return Vec::new();
        };
        let names = self.section_names(table);
        table.chunks_exact(SHDR_LEN).map(|header| self.section(header, names)).collect()
    }

    fn section_names(&self, table: &'a [u8]) -> &'a [u8] {
        let index = usize::from(u16_at(self.bytes, 62));
        match table.chunks_exact(SHDR_LEN).nth(index) {
            Some(header) => self.section(header, &[]).data,
            None => &[],
        }
    }

    /// A section whose bytes are not inside the file keeps its place in the table, without bytes.
    fn section(&self, header: &'a [u8], names: &'a [u8]) -> Section<'a> {
        let kind = u32_at(header, 4);
        let (offset, len) = (u64_at(header, 24), u64_at(header, 32));
        let data = match kind {
            SHT_NOBITS => &[],
            _ => slice(self.bytes, offset, len).unwrap_or(&[]),
        };
        let name_at = usize::try_from(u32_at(header, 0)).unwrap_or(usize::MAX);
        let name = until_nul(names.get(name_at..).unwrap_or(&[]));
        Section { name, kind, link: u32_at(header, 40), offset, data, header }
    }
}

fn check_ident(bytes: &[u8]) -> Result<(), ElfError> {
    if bytes.starts_with(&[0x1f, 0x8b]) {
        return Err(ElfError::Gzip);
    }
    if bytes.get(0x202..0x206) == Some(b"HdrS") {
        return Err(ElfError::BzImage);
    }
    if !bytes.starts_with(b"\x7fELF") {
        return Err(ElfError::NotElf);
    }
    match (bytes.get(4), bytes.get(5)) {
        (None, _) | (_, None) => Err(ElfError::ShortHeader { have: bytes.len() as u64 }),
        (Some(2), Some(1)) => Ok(()),
        (Some(2), Some(_)) => Err(ElfError::NotLittleEndian),
        _ => Err(ElfError::Not64Bit),
    }
}

/// The bytes of a header table; `counts_at` is where the ELF header holds entry size and count.
fn header_table<'a>(
    bytes: &'a [u8],
    table: &'static str,
    offset: u64,
    counts_at: usize,
    entry_len: usize,
) -> Result<&'a [u8], ElfError> {
    let (size, count) = (u16_at(bytes, counts_at), u16_at(bytes, counts_at + 2));
    if count == 0 || offset == 0 {
        return Ok(&[]);
    }
    if usize::from(size) != entry_len {
        return Err(ElfError::BadHeaderSize { table, size });
    }
    let len = u64::from(size) * u64::from(count);
    slice(bytes, offset, len).ok_or(ElfError::HeadersOutside {
        table,
        need: offset.saturating_add(len),
        have: bytes.len() as u64,
    })
}

fn check_segment(index: usize, header: &[u8], have: u64) -> Result<Segment, ElfError> {
    let segment = Segment {
        kind: u32_at(header, 0),
        flags: u32_at(header, 4),
        offset: u64_at(header, 8),
        vaddr: u64_at(header, 16),
        paddr: u64_at(header, 24),
        file_len: u64_at(header, 32),
        mem_len: u64_at(header, 40),
    };
    if segment.kind != PT_LOAD && segment.kind != PT_NOTE {
        // Nobody reads the others, so what they claim does not matter.
        return Ok(Segment { file_len: 0, ..segment });
    }
    let need = segment.offset.saturating_add(segment.file_len);
    if need > have {
        return Err(ElfError::SegmentOutside { index, need, have });
    }
    if segment.kind == PT_LOAD {
        let (file_len, mem_len) = (segment.file_len, segment.mem_len);
        if file_len > mem_len {
            return Err(ElfError::SegmentShrinks { index, file_len, mem_len });
        }
        if segment.paddr.checked_add(mem_len).is_none() {
            return Err(ElfError::SegmentWraps { index });
        }
    }
    Ok(segment)
}

/// The part of `bytes` that starts at `offset` and has `len` bytes.
pub(crate) fn slice(bytes: &[u8], offset: u64, len: u64) -> Option<&[u8]> {
    let start = usize::try_from(offset).ok()?;
    let end = usize::try_from(offset.checked_add(len)?).ok()?;
    bytes.get(start..end)
}

/// The part of `bytes` before the first NUL byte.
pub(crate) fn until_nul(bytes: &[u8]) -> &[u8] {
    bytes.split(|byte| *byte == 0).next().unwrap_or(&[])
}

/// Reads a little-endian number; zero where the bytes do not exist.
pub(crate) fn u16_at(bytes: &[u8], at: usize) -> u16 {
    array_at(bytes, at).map_or(0, u16::from_le_bytes)
}

/// Reads a little-endian number; zero where the bytes do not exist.
pub(crate) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    array_at(bytes, at).map_or(0, u32::from_le_bytes)
}

/// Reads a little-endian number; zero where the bytes do not exist.
pub(crate) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    array_at(bytes, at).map_or(0, u64::from_le_bytes)
}

fn array_at<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at.checked_add(N)?)?.try_into().ok()
}
