//! Programs as files: ELF, 64 bits, linked for one place.
//!
//! `Image::parse` looks at a file that may be anything and gives the parts that are to be in memory, checked:
//! they lie inside the file, in the part of memory programs may use, and on pages of their own.
//! `Space::add` refuses what overlaps. Section headers, symbols and notes are not looked at.

use pvkernel_abi::{Errno, USER_START};

use crate::platform::UserAccess;
use crate::vm::{HEAP_LIMIT, PAGE};

/// Parts a program may have.
const MAX_PARTS: usize = 16;
const HEADER: usize = 64;
const PART_HEADER: usize = 56;
const LOAD: u32 = 1;

/// A part that is loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part<'a> {
    /// Where its bytes begin.
    pub address: u64,
    /// They, without the zeros behind.
    pub bytes: &'a [u8],
    /// First address of its pages.
    pub start: u64,
    /// First address behind its pages.
    pub end: u64,
    /// What the program may do there.
    pub access: UserAccess,
}

/// A program.
#[derive(Clone, Copy, Debug)]
pub struct Image<'a> {
    file: &'a [u8],
    parts: usize,
    table: usize,
    /// Where it begins.
    pub entry: u64,
}

fn field<const N: usize>(file: &[u8], at: usize) -> Option<[u8; N]> {
    file.get(at..at.checked_add(N)?)?.try_into().ok()
}

fn word(file: &[u8], at: usize) -> Option<u64> {
    field(file, at).map(u64::from_le_bytes)
}

fn half(file: &[u8], at: usize) -> Option<u16> {
    field(file, at).map(u16::from_le_bytes)
}

impl<'a> Image<'a> {
    /// Looks at a file.
    ///
    /// # Errors
    /// `ENOEXEC`.
    pub fn parse(file: &'a [u8]) -> Result<Self, Errno> {
        let image = Self::header(file).ok_or(Errno::ENOEXEC)?;
        let mut can_begin = false;
        for part in image.parts() {
            let part = part?;
            can_begin |= part.access.execute && (part.start..part.end).contains(&image.entry);
        }
        can_begin.then_some(image).ok_or(Errno::ENOEXEC)
    }

    fn header(file: &'a [u8]) -> Option<Self> {
        // Magic, 64 bits, little end first, version 1.
        let is_elf = file.get(..7) == Some(b"\x7fELF\x02\x01\x01") && file.len() >= HEADER;
        let (kind, machine) = (half(file, 16)?, half(file, 18)?);
        let (entry, table) = (word(file, 24)?, usize::try_from(word(file, 32)?).ok()?);
        let (size, parts) = (usize::from(half(file, 54)?), usize::from(half(file, 56)?));
        let is_ours = kind == 2 && machine == 62 && size == PART_HEADER && parts <= MAX_PARTS;
        let end = table.checked_add(parts * PART_HEADER)?;
        (is_elf && is_ours && end <= file.len()).then_some(Self { file, parts, table, entry })
    }

    /// The parts that are loaded.
    pub fn parts(&self) -> impl Iterator<Item = Result<Part<'a>, Errno>> + '_ {
        let headers = (0..self.parts).map(|index| self.table + index * PART_HEADER);
        headers.filter_map(|at| self.part(at).transpose())
    }

    fn part(&self, at: usize) -> Result<Option<Part<'a>>, Errno> {
        let kind = field(self.file, at).map(u32::from_le_bytes).ok_or(Errno::ENOEXEC)?;
        if kind != LOAD || word(self.file, at + 40) == Some(0) {
            return Ok(None);
        }
        self.loaded(at).map(Some).ok_or(Errno::ENOEXEC)
    }

    fn loaded(&self, at: usize) -> Option<Part<'a>> {
        let flags = field(self.file, at + 4).map(u32::from_le_bytes)?;
        let (offset, address) = (word(self.file, at + 8)?, word(self.file, at + 16)?);
        let (in_file, in_memory) = (word(self.file, at + 32)?, word(self.file, at + 40)?);
        let behind = address.checked_add(in_memory)?;
        if in_file > in_memory || address < USER_START || behind > HEAP_LIMIT {
            return None;
        }
        let first = usize::try_from(offset).ok()?;
        let bytes = self.file.get(first..first.checked_add(in_file as usize)?)?;
        let (start, end) = (address & !(PAGE - 1), behind.next_multiple_of(PAGE));
        let access = UserAccess { execute: flags & 1 != 0, write: flags & 2 != 0 };
        Some(Part { address, bytes, start, end, access })
    }
}

#[cfg(test)]
#[path = "elf_tests.rs"]
pub(crate) mod tests;
