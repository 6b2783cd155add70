//! The symbol table behind a BSD kernel.
//!
//! Called by `KernelInfo::parse` when the note BSD_SYMTAB is `yes`. A BSD kernel expects, at the
//! first 8-byte boundary behind its image: the length of what follows (4 bytes), an ELF header,
//! three section headers (null, symbols, strings), and then both tables, each 8-byte aligned.
//! Offsets in the section headers count from the embedded ELF header.
//!
//! Invariant: the head is complete bytes and the tables are copies out of the file, so placing the
//! table is the same work as placing a segment.

use crate::elf::{Elf, Section, EHDR_LEN, SHDR_LEN, SHT_STRTAB, SHT_SYMTAB};
use crate::kernel::FileCopy;
use alloc::vec::Vec;

const SIZE_WORD_LEN: u64 = 4;
const HEADERS_LEN: u64 = (EHDR_LEN + 3 * SHDR_LEN) as u64;
const ALIGN: u64 = 8;

/// Where the symbol table goes and what it consists of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SymbolTable {
    /// Pseudo-physical address of the length word.
    pub paddr: u64,
    /// Virtual address of the length word.
    pub va: u64,
    /// Length word and headers.
    pub head: Vec<u8>,
    /// The symbols.
    pub symbols: FileCopy,
    /// The names of the symbols.
    pub strings: FileCopy,
}

impl SymbolTable {
    /// First virtual address behind the table.
    #[must_use]
    pub fn end_va(&self) -> u64 {
        self.strings.va + self.strings.mem_len
    }
}

/// Plans the table for an image that ends at `image_end`; `None` if the file has no symbols or the
/// table would leave the address space.
pub fn plan(elf: &Elf<'_>, image_end: u64, virt_base: u64) -> Option<SymbolTable> {
    let sections = elf.sections();
    let symbols = sections.iter().find(|s| s.kind == SHT_SYMTAB && !s.data.is_empty())?;
    let link = usize::try_from(symbols.link).ok()?;
    let strings = sections.get(link).filter(|s| s.kind == SHT_STRTAB && !s.data.is_empty())?;

    let va = image_end.checked_next_multiple_of(ALIGN)?;
    let symbols_va = va.checked_add(SIZE_WORD_LEN + HEADERS_LEN)?;
    let symbols_at = copy(symbols, symbols_va.checked_next_multiple_of(ALIGN)?, virt_base)?;
    let strings_va = symbols_at.va.checked_add(symbols_at.mem_len)?;
    let strings_at = copy(strings, strings_va.checked_next_multiple_of(ALIGN)?, virt_base)?;

    let elf_va = va + SIZE_WORD_LEN;
    let total_len = strings_at.va + strings_at.mem_len - elf_va;
    let mut head = Vec::new();
    head.extend_from_slice(&u32::try_from(total_len).ok()?.to_le_bytes());
    head.extend_from_slice(&embedded_elf_header(elf.bytes().get(..EHDR_LEN)?)?);
    head.extend_from_slice(&[0; SHDR_LEN]);
    head.extend_from_slice(&section_header(symbols, symbols_at.va - elf_va, 2)?);
    head.extend_from_slice(&section_header(strings, strings_at.va - elf_va, 0)?);
    let paddr = va.checked_sub(virt_base)?;
    Some(SymbolTable { paddr, va, head, symbols: symbols_at, strings: strings_at })
}

fn copy(section: &Section<'_>, va: u64, virt_base: u64) -> Option<FileCopy> {
    let len = section.data.len() as u64;
    va.checked_add(len)?;
    Some(FileCopy {
        paddr: va.checked_sub(virt_base)?,
        va,
        file_offset: section.offset,
        file_len: len,
        mem_len: len,
    })
}

/// The kernel's own header, changed to have no segments and three sections right behind it.
fn embedded_elf_header(original: &[u8]) -> Option<[u8; EHDR_LEN]> {
    let mut header: [u8; EHDR_LEN] = original.try_into().ok()?;
    let mut put = |at: usize, bytes: &[u8]| {
        header.iter_mut().skip(at).zip(bytes).for_each(|(to, from)| *to = *from);
    };
    put(32, &0_u64.to_le_bytes()); // e_phoff
    put(40, &(EHDR_LEN as u64).to_le_bytes()); // e_shoff
    put(56, &0_u16.to_le_bytes()); // e_phnum
    put(58, &(SHDR_LEN as u16).to_le_bytes()); // e_shentsize
    put(60, &3_u16.to_le_bytes()); // e_shnum
    put(62, &0_u16.to_le_bytes()); // e_shstrndx
    Some(header)
}

/// A section header with a new place, a new link and no name.
fn section_header(section: &Section<'_>, offset: u64, link: u32) -> Option<[u8; SHDR_LEN]> {
    let mut header: [u8; SHDR_LEN] = section.header.try_into().ok()?;
    let mut put = |at: usize, bytes: &[u8]| {
        header.iter_mut().skip(at).zip(bytes).for_each(|(to, from)| *to = *from);
    };
    put(0, &0_u32.to_le_bytes()); // sh_name
    put(24, &offset.to_le_bytes()); // sh_offset
    put(40, &link.to_le_bytes()); // sh_link
    Some(header)
}
