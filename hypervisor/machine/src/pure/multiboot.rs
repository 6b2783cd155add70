//! What the boot loader says: command line, modules, memory map. Multiboot 1 and 2.
//!
//! Pure: reads physical memory through a closure that returns bytes or nothing. Called twice by the
//! boot code, before and after the direct map exists; both times it gives the same. A loader is not
//! hostile, but a wrong pointer is treated as a missing part.

use hypercall_abi::memory::E820Entry;

/// `eax` at entry from a multiboot 1 loader.
pub const MAGIC1: u32 = 0x2bad_b002;
/// `eax` at entry from a multiboot 2 loader.
pub const MAGIC2: u32 = 0x36d7_6289;
/// Modules that are passed on.
pub const MAX_MODULES: usize = 32;
/// Memory map entries that are used.
pub const MAX_REGIONS: usize = 128;
/// Bytes of a string that are used.
const STRING_LIMIT: u64 = 2048;

/// A file the boot loader has loaded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RawModule<'a> {
    /// Machine address of its first byte.
    pub start: u64,
    /// Machine address behind it.
    pub end: u64,
    /// Its command line.
    pub string: &'a [u8],
}

/// A list with a fixed limit; what does not fit is dropped.
#[derive(Clone, Copy, Debug)]
pub struct List<T, const N: usize> {
    items: [T; N],
    count: usize,
}

impl<T: Copy + Default, const N: usize> Default for List<T, N> {
    fn default() -> Self {
        Self { items: [T::default(); N], count: 0 }
    }
}

impl<T: Copy, const N: usize> List<T, N> {
    /// Adds an item, if there is room.
    pub fn push(&mut self, item: T) {
        if let Some(slot) = self.items.get_mut(self.count) {
            *slot = item;
            self.count += 1;
        }
    }

    /// The items.
    pub fn as_slice(&self) -> &[T] {
        self.items.get(..self.count).unwrap_or(&[])
    }
}

/// Everything the boot code uses.
#[derive(Clone, Debug, Default)]
pub struct LoaderInfo<'a> {
    /// Command line of the hypervisor.
    pub cmdline: &'a [u8],
    /// Files.
    pub modules: List<RawModule<'a>, MAX_MODULES>,
    /// Memory map.
    pub regions: List<E820Entry, MAX_REGIONS>,
    /// Copy of the ACPI root pointer.
    pub root_pointer: Option<&'a [u8]>,
    /// Command lines start with a file name, as QEMU makes them.
    pub has_file_names: bool,
    /// Ranges of memory the strings above lie in.
    pub used: List<(u64, u64), 64>,
}

/// Reads physical memory.
pub trait Physical<'a> {
    /// `len` bytes at `address`, if they can be reached.
    fn bytes(&self, address: u64, len: u64) -> Option<&'a [u8]>;

    /// 32 bits at `address`.
    fn word(&self, address: u64) -> Option<u32> {
        Some(u32::from_le_bytes(self.bytes(address, 4)?.try_into().ok()?))
    }

    /// 64 bits at `address`.
    fn long(&self, address: u64) -> Option<u64> {
        Some(u64::from_le_bytes(self.bytes(address, 8)?.try_into().ok()?))
    }

    /// The bytes up to a zero byte, of at most `limit` bytes.
    fn string(&self, address: u64, limit: u64) -> Option<&'a [u8]> {
        (0..limit.min(STRING_LIMIT)).find_map(|len| match self.bytes(address + len, 1)? {
            [0] => self.bytes(address, len),
            _ => None,
        })
    }
}

/// Reads what a loader with `magic` has left at `info`; empty for an unknown loader.
pub fn parse<'a>(magic: u32, info: u32, memory: &impl Physical<'a>) -> LoaderInfo<'a> {
    let mut result = LoaderInfo::default();
    let _ = match magic {
        MAGIC1 => parse1(info.into(), memory, &mut result),
        MAGIC2 => parse2(info.into(), memory, &mut result),
        _ => None,
    };
    result
}

/// One entry of either memory map.
fn region<'a>(at: u64, memory: &impl Physical<'a>) -> Option<E820Entry> {
    Some(E820Entry::new(memory.long(at)?, memory.long(at + 8)?, memory.word(at + 16)?))
}

fn parse1<'a>(info: u64, memory: &impl Physical<'a>, out: &mut LoaderInfo<'a>) -> Option<()> {
    const CMDLINE: u32 = 1 << 2;
    const MODULES: u32 = 1 << 3;
    const MEMORY_MAP: u32 = 1 << 6;
    const LOADER_NAME: u32 = 1 << 9;
    let flags = memory.word(info)?;
    let pointer = |offset: u64| memory.word(info + offset).map(u64::from);
    out.used.push((info, info + 128));
    if flags & LOADER_NAME != 0 {
        let name = memory.string(pointer(64)?, 64).unwrap_or(b"");
        out.has_file_names = name.starts_with(b"qemu");
    }
    if flags & CMDLINE != 0 {
        out.cmdline = used_string(pointer(16)?, memory, &mut out.used);
    }
    if flags & MEMORY_MAP != 0 {
        let (len, start) = (pointer(44)?, pointer(48)?);
        let mut at = start;
        while at + 24 <= start + len {
            out.regions.push(region(at + 4, memory)?);
            // The size field does not count itself.
            at += u64::from(memory.word(at)?).max(20) + 4;
        }
    }
    if flags & MODULES != 0 {
        let (count, list) = (pointer(20)?.min(MAX_MODULES as u64), pointer(24)?);
        out.used.push((list, list + 16 * count));
        for at in (0..count).map(|n| list + 16 * n) {
            let string = used_string(memory.word(at + 8)?.into(), memory, &mut out.used);
            let (start, end) = (memory.word(at)?, memory.word(at + 4)?);
            out.modules.push(RawModule { start: start.into(), end: end.into(), string });
        }
    }
    Some(())
}

fn used_string<'a>(
    address: u64,
    memory: &impl Physical<'a>,
    used: &mut List<(u64, u64), 64>,
) -> &'a [u8] {
    let string = memory.string(address, STRING_LIMIT).unwrap_or(b"");
    used.push((address, address + string.len() as u64 + 1));
    string
}

fn parse2<'a>(info: u64, memory: &impl Physical<'a>, out: &mut LoaderInfo<'a>) -> Option<()> {
    let total = u64::from(memory.word(info)?);
    out.used.push((info, info + total));
    let mut at = info + 8;
    while at + 8 <= info + total {
        let (kind, size) = (memory.word(at)?, u64::from(memory.word(at + 4)?));
        if kind == 0 || size < 8 {
            break;
        }
        // A tag that cannot be read is left out.
        let _ = tag2(at, memory, out);
        at += size.div_ceil(8) * 8;
    }
    Some(())
}

/// Reads one tag at `at`.
fn tag2<'a>(at: u64, memory: &impl Physical<'a>, out: &mut LoaderInfo<'a>) -> Option<()> {
    let (kind, size) = (memory.word(at)?, u64::from(memory.word(at + 4)?));
    match kind {
        1 => out.cmdline = memory.string(at + 8, size - 8)?,
        3 => {
            let (start, end) = (memory.word(at + 8)?, memory.word(at + 12)?);
            let string = memory.string(at + 16, size.checked_sub(16)?).unwrap_or(b"");
            out.modules.push(RawModule { start: start.into(), end: end.into(), string });
        }
        6 => {
            let step = u64::from(memory.word(at + 8)?);
            let mut entry = at + 16;
            while step >= 20 && entry + step <= at + size {
                out.regions.push(region(entry, memory)?);
                entry += step;
            }
        }
        14 | 15 => out.root_pointer = memory.bytes(at + 8, size - 8),
        _ => {}
    }
    Some(())
}

/// A command line without the file name it may start with.
pub fn without_file_name(string: &str, has_file_name: bool) -> &str {
    let string = string.trim();
    match string.split_once(' ') {
        _ if !has_file_name => string,
        found => found.map_or("", |(_, rest)| rest.trim_start()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;
    use alloc::vec::Vec;
    use hypercall_abi::memory::e820;
    use proptest::prelude::*;

    struct Memory(Vec<u8>);

    impl<'a> Physical<'a> for &'a Memory {
        fn bytes(&self, address: u64, len: u64) -> Option<&'a [u8]> {
            let start = usize::try_from(address).ok()?;
            self.0.get(start..start.checked_add(usize::try_from(len).ok()?)?)
        }
    }

    impl Memory {
        fn put(&mut self, at: usize, bytes: &[u8]) {
            self.0[at..at + bytes.len()].copy_from_slice(bytes);
        }
        fn put_word(&mut self, at: usize, word: u32) {
            self.put(at, &word.to_le_bytes());
        }
    }

    fn memory() -> Memory {
        Memory(vec![0; 8192])
    }

    #[test]
    fn multiboot_1_as_qemu_makes_it() {
        let mut m = memory();
        m.put_word(0x100, 0x24c);
        m.put_word(0x110, 0x400);
        m.put(0x400, b"zendo.elf loglvl=all\0");
        m.put_word(0x114, 1);
        m.put_word(0x118, 0x500);
        m.put_word(0x500, 0x20_0000);
        m.put_word(0x504, 0x20_0123);
        m.put_word(0x508, 0x600);
        m.put(0x600, b"dom0 console=hvc0\0");
        m.put_word(0x12c, 24);
        m.put_word(0x130, 0x700);
        m.put_word(0x700, 20);
        m.put_word(0x704, 0x1000);
        m.put_word(0x70c, 0x9_0000);
        m.put_word(0x714, e820::RAM);
        m.put_word(0x140, 0x800);
        m.put(0x800, b"qemu\0");
        let info = parse(MAGIC1, 0x100, &&m);
        assert_eq!(info.cmdline, b"zendo.elf loglvl=all");
        assert!(info.has_file_names);
        let module = RawModule { start: 0x20_0000, end: 0x20_0123, string: b"dom0 console=hvc0" };
        assert_eq!(info.modules.as_slice(), [module]);
        let region = E820Entry::new(0x1000, 0x9_0000, e820::RAM);
        assert_eq!(info.regions.as_slice(), [region]);
    }

    #[test]
    fn multiboot_2_tags() {
        let mut m = memory();
        m.put_word(0x200, 8 + 16 + 24 + 40 + 8);
        m.put_word(0x208, 1);
        m.put_word(0x20c, 11);
        m.put(0x210, b"ab\0");
        m.put_word(0x218, 3);
        m.put_word(0x21c, 19);
        m.put_word(0x220, 0x1000);
        m.put_word(0x224, 0x2000);
        m.put(0x228, b"m1\0");
        m.put_word(0x230, 6);
        m.put_word(0x234, 40);
        m.put_word(0x238, 24);
        m.put_word(0x240, 0x5000);
        m.put_word(0x248, 0x1000);
        m.put_word(0x250, e820::RAM);
        let info = parse(MAGIC2, 0x200, &&m);
        assert_eq!(info.cmdline, b"ab");
        let module = RawModule { start: 0x1000, end: 0x2000, string: b"m1" };
        assert_eq!(info.modules.as_slice(), [module]);
        let region = E820Entry::new(0x5000, 0x1000, e820::RAM);
        assert_eq!(info.regions.as_slice(), [region]);
    }

    #[test]
    fn file_names_are_split_off_only_where_there_are_some() {
        assert_eq!(without_file_name("a.elf  x y ", true), "x y");
        assert_eq!(without_file_name("a.elf", true), "");
        assert_eq!(without_file_name("x y", false), "x y");
    }

    proptest! {
        #[test]
        fn any_memory_parses(bytes in proptest::collection::vec(any::<u8>(), 0..600), magic in prop_oneof![Just(MAGIC1), Just(MAGIC2)], at in 0_u32..600) {
            let m = Memory(bytes);
            let info = parse(magic, at, &&m);
            prop_assert!(info.modules.as_slice().len() <= MAX_MODULES);
        }
    }
}
