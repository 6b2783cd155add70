//! The `__xen_guest` section: `KEY=value` pairs separated by commas.
//!
//! Called by `notes::read` for kernels older than the ELF notes. Numbers follow the prefix rules
//! of C. A hypercall page is given as a page number relative to the virtual base.
//!
//! Invariant: the same [`RawNotes`] come out as an equivalent kernel with notes would give.

use crate::elf;
use crate::error::KernelError;
use crate::notes::RawNotes;
use alloc::string::String;

/// Reads the string up to its first NUL byte.
///
/// # Errors
/// A key that needs a number and has none; `NoNotes` for an empty string.
pub fn read(section: &[u8]) -> Result<RawNotes, KernelError> {
    let text = String::from_utf8_lossy(elf::until_nul(section));
    if text.is_empty() {
        return Err(KernelError::NoNotes);
    }
    let mut notes = RawNotes::default();
    for pair in text.split(',') {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        take(&mut notes, key, value)?;
    }
    let base = notes.virt_base.unwrap_or(0);
    notes.hypercall_page = match notes.hypercall_page {
        None => None,
        Some(page) => {
            let offset = page.checked_mul(hypercall_abi::PAGE_SIZE as u64);
            let va = offset.and_then(|offset| base.checked_add(offset));
            Some(va.ok_or(KernelError::BadNumber { note: "HYPERCALL_PAGE" })?)
        }
    };
    // The older interface has physical addresses that start at the virtual base.
    notes.paddr_offset = notes.paddr_offset.or(notes.virt_base);
    Ok(notes)
}

fn take(notes: &mut RawNotes, key: &str, value: &str) -> Result<(), KernelError> {
    match key {
        "LOADER" => notes.loader = Some(value.into()),
        "GUEST_OS" => notes.guest_os = Some(value.into()),
        "GUEST_VER" => notes.guest_version = Some(value.into()),
        "XEN_VER" => notes.xen_version = Some(value.into()),
        "PAE" => notes.pae_mode = Some(value.into()),
        "FEATURES" => notes.features = Some(value.into()),
        "BSD_SYMTAB" => notes.bsd_symtab = Some("yes".into()),
        "VIRT_BASE" => notes.virt_base = Some(number("VIRT_BASE", value)?),
        "VIRT_ENTRY" => notes.entry = Some(number("VIRT_ENTRY", value)?),
        "ELF_PADDR_OFFSET" => notes.paddr_offset = Some(number("ELF_PADDR_OFFSET", value)?),
        "HYPERCALL_PAGE" => notes.hypercall_page = Some(number("HYPERCALL_PAGE", value)?),
        _ => {}
    }
    Ok(())
}

/// A number with C's prefixes: `0x` for hexadecimal, a leading `0` for octal.
fn number(note: &'static str, value: &str) -> Result<u64, KernelError> {
    let parsed = if let Some(hex) = value.strip_prefix("0x").or_else(|| value.strip_prefix("0X")) {
        u64::from_str_radix(hex, 16)
    } else if value.len() > 1 && value.starts_with('0') {
        u64::from_str_radix(value, 8)
    } else {
        value.parse()
    };
    parsed.map_err(|_| KernelError::BadNumber { note })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_follow_the_prefix_rules_of_c() {
        assert_eq!(number("N", "0x10"), Ok(16));
        assert_eq!(number("N", "010"), Ok(8));
        assert_eq!(number("N", "10"), Ok(10));
        assert_eq!(number("N", "0"), Ok(0));
        for bad in ["", "0x", "09", "ten", "-1", "0x1_0"] {
            assert_eq!(number("N", bad), Err(KernelError::BadNumber { note: "N" }), "{bad}");
        }
    }

    #[test]
    fn a_hypercall_page_counts_pages_from_the_base() {
        let notes = read(b"VIRT_BASE=0xffffffff80000000,HYPERCALL_PAGE=0x2\0junk").unwrap();
        assert_eq!(notes.hypercall_page, Some(0xffff_ffff_8000_2000));
        assert_eq!(notes.paddr_offset, notes.virt_base);
    }

    #[test]
    fn an_overflowing_hypercall_page_is_refused() {
        let read = read(b"HYPERCALL_PAGE=0xfffffffffffffff\0");
        assert_eq!(read, Err(KernelError::BadNumber { note: "HYPERCALL_PAGE" }));
    }
}
