//! What a multiboot loader says about the machine. Pure: memory is read through a closure.
//!
//! A loader is not hostile but may be broken: what cannot be read is treated as missing.

/// Ranges of memory a machine may have; further ones are not used.
const MAX_REGIONS: usize = 32;
/// A command line is not longer.
pub const MAX_CMDLINE: usize = 1024;
/// `eax` at the entry.
pub const MAGIC: u32 = 0x2bad_b002;

const PAGE: u64 = crate::layout::PAGE;

const HAS_CMDLINE: u32 = 1 << 2;
const HAS_MODULES: u32 = 1 << 3;
const HAS_MAP: u32 = 1 << 6;
const HAS_NAME: u32 = 1 << 9;
const KIND_RAM: u32 = 1;

/// Physical addresses from the first up to the second.
pub type Region = (u64, u64);

/// What the loader says.
#[derive(Clone, Debug)]
pub struct Info {
    regions: [Region; MAX_REGIONS],
    count: usize,
    /// The first module.
    pub module: Option<Region>,
    cmdline: [u8; MAX_CMDLINE],
    cmdline_len: usize,
}

impl Info {
    /// Whole pages of memory.
    pub fn regions(&self) -> &[Region] {
        self.regions.get(..self.count).unwrap_or_default()
    }

    /// The words for this kernel.
    pub fn cmdline(&self) -> &[u8] {
        self.cmdline.get(..self.cmdline_len).unwrap_or_default()
    }

    fn push(&mut self, start: u64, end: u64) {
        let (start, end) = (start.next_multiple_of(PAGE), end / PAGE * PAGE);
        if let (Some(slot), true) = (self.regions.get_mut(self.count), start < end) {
            *slot = (start, end);
            self.count += 1;
        }
    }

    /// A place for `len` bytes, at a page's start and below `limit`, that is memory and not in use.
    pub fn room(&self, len: u64, used: &[Region], limit: u64) -> Option<u64> {
        let starts = self.regions().iter().map(|region| region.0);
        let ends = used.iter().map(|region| region.1.next_multiple_of(PAGE));
        let is_free = |start: &u64| {
            let Some(end) = start.checked_add(len).filter(|end| *end <= limit) else {
                return false;
            };
            let is_memory = self.regions().iter().any(|all| all.0 <= *start && end <= all.1);
            is_memory && used.iter().all(|other| end <= other.0 || other.1 <= *start)
        };
        starts.chain(ends).filter(is_free).min()
    }
}

/// Reads what a loader has left at `info`; `bytes` gives memory, if it can be reached.
pub fn parse<'a>(info: u64, bytes: impl Fn(u64, u64) -> Option<&'a [u8]>) -> Option<Info> {
    let number = |at: u64, len: u64| -> Option<u64> {
        let field = bytes(at, len)?;
        Some(field.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte)))
    };
    let word = |offset: u64| number(info.checked_add(offset)?, 4);
    let text = |at: u64, len: &mut usize, to: &mut [u8]| {
        let is_there = |(index, slot): (usize, &mut u8)| {
            let byte = *bytes(at + index as u64, 1)?.first()?;
            *slot = byte;
            (byte != 0).then_some(())
        };
        *len = to.iter_mut().enumerate().map_while(is_there).count();
    };
    let flags = word(0)? as u32;
    let mut found = Info {
        regions: [(0, 0); MAX_REGIONS],
        count: 0,
        module: None,
        cmdline: [0; MAX_CMDLINE],
        cmdline_len: 0,
    };
    if flags & HAS_MAP != 0 {
        let (len, start) = (word(44)?, word(48)?);
        let mut at = start;
        while at + 24 <= start + len {
            let (first, size) = (number(at + 4, 8)?, number(at + 12, 8)?);
            if number(at + 20, 4)? == u64::from(KIND_RAM) {
                found.push(first, first.saturating_add(size));
            }
            // The size field does not count itself.
            at += number(at, 4)?.max(20) + 4;
        }
    }
    if flags & HAS_MODULES != 0 && word(20)? > 0 {
        let list = word(24)?;
        let (start, end) = (number(list, 4)?, number(list + 4, 4)?);
        found.module = (start < end).then_some((start, end));
    }
    if flags & HAS_CMDLINE != 0 {
        text(word(16)?, &mut found.cmdline_len, &mut found.cmdline);
    }
    let (mut name, mut name_len) = ([0; 4], 0);
    if flags & HAS_NAME != 0 {
        text(word(64)?, &mut name_len, &mut name);
    }
    // QEMU puts the kernel's file name before the words.
    if &name == b"qemu" {
        let words = found.cmdline().iter().position(|byte| *byte == b' ');
        let from = words.map_or(found.cmdline_len, |at| at + 1);
        found.cmdline.copy_within(from.., 0);
        found.cmdline_len -= from;
    }
    Some(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;
    use alloc::vec::Vec;
    use proptest::prelude::*;

    fn put(memory: &mut [u8], at: usize, bytes: &[u8]) {
        memory[at..at + bytes.len()].copy_from_slice(bytes);
    }

    fn put_word(memory: &mut [u8], at: usize, word: u32) {
        put(memory, at, &word.to_le_bytes());
    }

    fn reader<'a>(memory: &'a [u8]) -> impl Fn(u64, u64) -> Option<&'a [u8]> + 'a {
        |at, len| memory.get(usize::try_from(at).ok()?..usize::try_from(at.checked_add(len)?).ok()?)
    }

    fn as_qemu_makes_it() -> Vec<u8> {
        let mut memory = vec![0; 4096];
        put_word(&mut memory, 0x100, HAS_CMDLINE | HAS_MODULES | HAS_MAP | HAS_NAME);
        put_word(&mut memory, 0x110, 0x400);
        put(&mut memory, 0x400, b"shell-native a=1 b\0");
        put_word(&mut memory, 0x114, 1);
        put_word(&mut memory, 0x118, 0x500);
        put_word(&mut memory, 0x500, 0x20_0000);
        put_word(&mut memory, 0x504, 0x20_0123);
        put_word(&mut memory, 0x12c, 48);
        put_word(&mut memory, 0x130, 0x600);
        for (at, start, len, kind) in [(0x600, 0x800, 0x9_0000, 1), (0x618, 0xa_0000, 0x1000, 2)] {
            put_word(&mut memory, at, 20);
            put_word(&mut memory, at + 4, start);
            put_word(&mut memory, at + 12, len);
            put_word(&mut memory, at + 20, kind);
        }
        put_word(&mut memory, 0x140, 0x700);
        put(&mut memory, 0x700, b"qemu\0");
        memory
    }

    #[test]
    fn memory_module_and_words_are_found_as_qemu_leaves_them() {
        let memory = as_qemu_makes_it();
        let info = parse(0x100, reader(&memory)).expect("information");
        assert_eq!(info.cmdline(), b"a=1 b");
        assert_eq!(info.module, Some((0x20_0000, 0x20_0123)));
        assert_eq!(info.regions(), [(0x1000, 0x9_0000)]);
    }

    #[test]
    fn other_loaders_put_no_file_name_before_the_words() {
        let mut memory = as_qemu_makes_it();
        put(&mut memory, 0x700, b"GRUB\0");
        let info = parse(0x100, reader(&memory)).expect("information");
        assert_eq!(info.cmdline(), b"shell-native a=1 b");
    }

    proptest! {
        #[test]
        fn any_memory_parses(
            bytes in proptest::collection::vec(any::<u8>(), 0..400),
            flags in any::<u32>(),
            at in 0_u64..300,
        ) {
            let mut bytes = bytes;
            if let Some(slot) = bytes.get_mut(at as usize..at as usize + 4) {
                slot.copy_from_slice(&flags.to_le_bytes());
            }
            if let Some(info) = parse(at, reader(&bytes)) {
                prop_assert!(info.regions().iter().all(|(start, end)| start < end));
                prop_assert!(info.cmdline().len() <= MAX_CMDLINE);
            }
        }

        #[test]
        fn room_is_memory_that_nobody_uses(
            regions in proptest::collection::vec((0_u64..64, 1_u64..32), 1..4),
            used in proptest::collection::vec((0_u64..64, 1_u64..16), 0..4),
            pages in 1_u64..16,
        ) {
            let ranges = |list: &[(u64, u64)]| -> Vec<Region> {
                list.iter().map(|(start, len)| (start * PAGE, (start + len) * PAGE)).collect()
            };
            let (all, used) = (ranges(&regions), ranges(&used));
            let mut info = parse(0, |_, len| Some(&[0; 8][..len as usize])).expect("zeros");
            all.iter().for_each(|(start, end)| info.push(*start, *end));
            let inside = |page: u64, list: &[Region]| {
                list.iter().any(|(start, end)| (*start..*end).contains(&(page * PAGE)))
            };
            let one_region = |start: u64| {
                all.iter().any(|all| all.0 <= start * PAGE && (start + pages) * PAGE <= all.1)
            };
            let is_free = |start: u64| {
                one_region(start) && (start..start + pages).all(|page| !inside(page, &used))
            };
            let expected = (0..96).find(|start| is_free(*start)).map(|start| start * PAGE);
            prop_assert_eq!(info.room(pages * PAGE, &used, u64::MAX), expected);
        }
    }
}
