//! A kernel image for tests: a valid header, one segment, three notes, and no code.

use alloc::vec::Vec;

const NOTE_ENTRY: u32 = 1;
const NOTE_VIRT_BASE: u32 = 3;
const NOTE_XEN_VERSION: u32 = 5;
const NOTE_LOADER: u32 = 8;
const VIRT_BASE: u64 = 0xffff_ffff_8000_0000;
const PHDRS_AT: u64 = 64;
const CODE_AT: u64 = 0x1000;

/// An image of `code_len` bytes of code and `bss_len` bytes that must become zero, at
/// pseudo-physical address 0. The code bytes count upwards.
#[must_use]
pub fn tiny_kernel(code_len: usize, bss_len: usize) -> Vec<u8> {
    tiny_kernel_with(code_len, bss_len, &[])
}

/// The same with more notes that hold numbers.
#[must_use]
pub fn tiny_kernel_with(code_len: usize, bss_len: usize, more: &[(u32, u64)]) -> Vec<u8> {
    let mut notes = notes();
    for (kind, value) in more {
        note(&mut notes, *kind, &value.to_le_bytes());
    }
    let mut image = Vec::new();
    image.extend(b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0");
    for half in [2u16, 62] {
        image.extend(half.to_le_bytes());
    }
    image.extend(1u32.to_le_bytes());
    for word in [VIRT_BASE, PHDRS_AT, 0] {
        image.extend(word.to_le_bytes());
    }
    image.extend(0u32.to_le_bytes());
    for half in [64u16, 56, 2, 64, 0, 0] {
        image.extend(half.to_le_bytes());
    }
    let mem_len = (code_len + bss_len) as u64;
    header(&mut image, 1, CODE_AT, code_len as u64, mem_len);
    header(&mut image, 4, 0x200, notes.len() as u64, notes.len() as u64);
    image.resize(0x200, 0);
    image.extend(notes);
    image.resize(CODE_AT as usize, 0);
    image.extend((0..code_len).map(|index| index as u8));
    image
}

fn header(image: &mut Vec<u8>, kind: u32, offset: u64, file_len: u64, mem_len: u64) {
    image.extend(kind.to_le_bytes());
    image.extend(7u32.to_le_bytes());
    for word in [offset, VIRT_BASE, 0, file_len, mem_len, 0x1000] {
        image.extend(word.to_le_bytes());
    }
}

fn notes() -> Vec<u8> {
    let mut notes = Vec::new();
    note(&mut notes, NOTE_XEN_VERSION, b"xen-3.0\0");
    note(&mut notes, NOTE_LOADER, b"generic\0");
    note(&mut notes, NOTE_VIRT_BASE, &VIRT_BASE.to_le_bytes());
    note(&mut notes, NOTE_ENTRY, &VIRT_BASE.to_le_bytes());
    notes
}

fn note(notes: &mut Vec<u8>, kind: u32, value: &[u8]) {
    for word in [4, value.len() as u32, kind] {
        notes.extend(word.to_le_bytes());
    }
    notes.extend(b"Xen\0");
    notes.extend(value);
}
