//! Files nobody should be able to start a domain from.
//!
//! `xtask build` puts them into the test archive: kernels that are wrong in exactly one way, each
//! with a configuration `bad-<name>.cfg`, and configurations that are wrong themselves. The case
//! `hostile-kernels` and the case `bad-configurations` create from each of them. [`ElfImage`] is
//! the description the wrong kernels are made from; unchanged, it is one that would be accepted.

/// One program header and the bytes it covers.
#[derive(Clone, Copy, Debug)]
pub struct Segment {
    /// `PT_LOAD` is 1, `PT_NOTE` is 4.
    pub kind: u32,
    /// Offset in the file.
    pub offset: u64,
    /// Virtual and physical address.
    pub address: u64,
    /// Bytes in the file.
    pub file_bytes: u64,
    /// Bytes in memory.
    pub memory_bytes: u64,
}

/// A small ELF64 file, part by part.
#[derive(Clone, Debug)]
pub struct ElfImage {
    /// 1 is 32-bit, 2 is 64-bit.
    pub class: u8,
    /// 62 is x86-64.
    pub machine: u16,
    /// The first instruction.
    pub entry: u64,
    /// Where the program headers are.
    pub table: u64,
    /// The program headers.
    pub segments: Vec<Segment>,
    /// Xen notes: number and string or 8-byte number.
    pub notes: Vec<(u32, Vec<u8>)>,
}

const HEADER_BYTES: usize = 64;
const PROGRAM_HEADER_BYTES: usize = 56;
const PAGE: u64 = 4096;
const BASE: u64 = 0xffff_ffff_8000_0000;
const LOAD: u32 = 1;
const NOTE: u32 = 4;

/// Numbers of the notes, as in Xen's `elfnote.h`.
const NOTE_ENTRY: u32 = 1;
const NOTE_VIRT_BASE: u32 = 3;
const NOTE_XEN_VERSION: u32 = 5;
const NOTE_GUEST_OS: u32 = 6;
const NOTE_LOADER: u32 = 8;

impl ElfImage {
    /// A kernel of one page that loops; nothing is wrong with it.
    pub fn small() -> ElfImage {
        let load = Segment {
            kind: LOAD,
            offset: PAGE,
            address: BASE + 0x10_0000,
            file_bytes: PAGE,
            memory_bytes: PAGE,
        };
        let string = |text: &str| [text.as_bytes(), &[0]].concat();
        let notes = vec![
            (NOTE_XEN_VERSION, string("xen-3.0")),
            (NOTE_GUEST_OS, string("hostile")),
            (NOTE_LOADER, string("generic")),
            (NOTE_VIRT_BASE, BASE.to_le_bytes().to_vec()),
            (NOTE_ENTRY, (BASE + 0x10_0000).to_le_bytes().to_vec()),
        ];
        let (class, machine, table) = (2, 62, HEADER_BYTES as u64);
        ElfImage { class, machine, entry: load.address, table, segments: vec![load], notes }
    }

    /// The file.
    pub fn bytes(&self) -> Vec<u8> {
        let notes = self.note_bytes();
        let mut segments = self.segments.clone();
        let offset = 2 * PAGE;
        let length = notes.len() as u64;
        segments.push(Segment {
            kind: NOTE,
            offset,
            address: 0,
            file_bytes: length,
            memory_bytes: length,
        });
        let mut file = self.header(segments.len() as u16);
        for segment in &segments {
            file.extend_from_slice(&program_header(segment));
        }
        file.resize(PAGE as usize, 0);
        // `jmp` to itself: the smallest program that does nothing for ever.
        file.extend_from_slice(&[0xeb, 0xfe]);
        file.resize(2 * PAGE as usize, 0);
        file.extend_from_slice(&notes);
        file
    }

    fn header(&self, segments: u16) -> Vec<u8> {
        let mut bytes = vec![0x7f, b'E', b'L', b'F', self.class, 1, 1, 0];
        bytes.resize(16, 0);
        bytes.extend_from_slice(&2u16.to_le_bytes());
        bytes.extend_from_slice(&self.machine.to_le_bytes());
        bytes.extend_from_slice(&1u32.to_le_bytes());
        bytes.extend_from_slice(&self.entry.to_le_bytes());
        bytes.extend_from_slice(&self.table.to_le_bytes());
        bytes.resize(52, 0);
        bytes.extend_from_slice(&(HEADER_BYTES as u16).to_le_bytes());
        bytes.extend_from_slice(&(PROGRAM_HEADER_BYTES as u16).to_le_bytes());
        bytes.extend_from_slice(&segments.to_le_bytes());
        bytes.resize(HEADER_BYTES, 0);
        bytes
    }

    fn note_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (number, contents) in &self.notes {
            bytes.extend_from_slice(&4u32.to_le_bytes());
            bytes.extend_from_slice(&(contents.len() as u32).to_le_bytes());
            bytes.extend_from_slice(&number.to_le_bytes());
            bytes.extend_from_slice(b"Xen\0");
            bytes.extend_from_slice(contents);
            bytes.resize(bytes.len().next_multiple_of(4), 0);
        }
        bytes
    }

    fn without_note(mut self, number: u32) -> ElfImage {
        self.notes.retain(|(n, _)| *n != number);
        self
    }

    fn with_note(self, number: u32, contents: &[u8]) -> ElfImage {
        let mut image = self.without_note(number);
        image.notes.push((number, contents.to_vec()));
        image
    }

    fn with_segment(mut self, segment: Segment) -> ElfImage {
        self.segments.push(segment);
        self
    }

    fn with_first(mut self, change: impl Fn(&mut Segment)) -> ElfImage {
        self.segments.iter_mut().take(1).for_each(change);
        self
    }
}

fn program_header(segment: &Segment) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(PROGRAM_HEADER_BYTES);
    bytes.extend_from_slice(&segment.kind.to_le_bytes());
    bytes.extend_from_slice(&7u32.to_le_bytes());
    let sizes = [segment.file_bytes, segment.memory_bytes, PAGE];
    // Guest kernels of this kind give the same number for both addresses, less the base.
    let physical = segment.address.wrapping_sub(BASE);
    for word in [segment.offset, segment.address, physical].into_iter().chain(sizes) {
        bytes.extend_from_slice(&word.to_le_bytes());
    }
    bytes
}

/// Kernels that must be refused, by name. `hello` is a sound image to cut up.
pub fn kernels(hello: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
    let small = ElfImage::small;
    let first = small().segments[0];
    let overlap = Segment { address: first.address + 0x800, ..first };
    let cut = |bytes: usize| hello.iter().copied().take(bytes).collect::<Vec<u8>>();
    vec![
        ("empty", Vec::new()),
        ("text", b"this is a text file, no kernel\n".to_vec()),
        ("header-cut", cut(40)),
        ("cut-short", cut(6000)),
        ("elf32", ElfImage { class: 1, ..small() }.bytes()),
        ("other-machine", ElfImage { machine: 183, ..small() }.bytes()),
        ("table-outside", ElfImage { table: 1 << 40, ..small() }.bytes()),
        ("table-wraps", ElfImage { table: u64::MAX - 8, ..small() }.bytes()),
        ("no-notes", ElfImage { notes: Vec::new(), ..small() }.bytes()),
        ("no-segments", ElfImage { segments: Vec::new(), ..small() }.bytes()),
        ("no-version", small().without_note(NOTE_XEN_VERSION).bytes()),
        ("old-version", small().with_note(NOTE_XEN_VERSION, b"xen-2.0\0").bytes()),
        ("overlapping", small().with_segment(overlap).bytes()),
        ("huge", small().with_first(|s| s.memory_bytes = 1 << 40).bytes()),
        ("outside-file", small().with_first(|s| s.file_bytes = 1 << 30).bytes()),
        ("offset-wraps", small().with_first(|s| s.offset = u64::MAX - 100).bytes()),
        ("address-wraps", small().with_first(|s| s.address = u64::MAX - 100).bytes()),
        ("wider-than-memory", small().with_first(|s| s.memory_bytes = 64 << 20).bytes()),
        ("less-than-file", small().with_first(|s| s.memory_bytes = 1).bytes()),
    ]
}

/// Configurations that must be refused, by name.
pub fn configurations() -> Vec<(&'static str, &'static str)> {
    vec![
        ("cfg-no-name", "kernel = \"hello\"\nmemory = 16\n"),
        ("cfg-no-kernel", "name = \"x\"\nmemory = 16\n"),
        ("cfg-missing-file", "name = \"x\"\nkernel = \"nothere\"\nmemory = 16\n"),
        ("cfg-missing-ramdisk", "name = \"x\"\nkernel = \"hello\"\nramdisk = \"nothere\"\n"),
        ("cfg-unknown-key", "name = \"x\"\nkernel = \"hello\"\nmemroy = 16\n"),
        ("cfg-word-for-number", "name = \"x\"\nkernel = \"hello\"\nmemory = \"lots\"\n"),
        ("cfg-huge-number", "name = \"x\"\nkernel = \"hello\"\nmemory = 99999999999999999999\n"),
        ("cfg-too-much-memory", "name = \"x\"\nkernel = \"hello\"\nmemory = 4096\n"),
        (
            "cfg-too-little-memory",
            "name = \"x\"\nkernel = \"hello\"\nmemory = 1\nextra = \"\"\nramdisk = \"selftest\"\n",
        ),
        ("cfg-two-vcpus", "name = \"x\"\nkernel = \"hello\"\nmemory = 16\nvcpus = 2\n"),
        ("cfg-zero-vcpus", "name = \"x\"\nkernel = \"hello\"\nmemory = 16\nvcpus = 0\n"),
        ("cfg-open-string", "name = \"x\nkernel = \"hello\"\n"),
        ("cfg-open-list", "name = \"x\"\nkernel = \"hello\"\ndisk = [ 'a',\n"),
        ("cfg-no-equals", "name \"x\"\n"),
        ("cfg-number-name", "name = \"123\"\nkernel = \"hello\"\n"),
        ("cfg-dom0-name", "name = \"Domain-0\"\nkernel = \"hello\"\n"),
        ("cfg-bad-action", "name = \"x\"\nkernel = \"hello\"\non_crash = \"explode\"\n"),
        ("cfg-hvm", "name = \"x\"\ntype = \"hvm\"\nkernel = \"hello\"\n"),
    ]
}

/// All of it as files of an archive.
pub fn files(hello: &[u8]) -> Vec<(String, Vec<u8>)> {
    let mut files = Vec::new();
    for (name, image) in kernels(hello) {
        let text = format!("name = \"bad\"\nkernel = \"bad-{name}\"\nmemory = 16\n");
        files.push((format!("bad-{name}"), image));
        files.push((format!("bad-{name}.cfg"), text.into_bytes()));
    }
    for (name, text) in configurations() {
        files.push((format!("bad-{name}.cfg"), text.as_bytes().to_vec()));
    }
    files
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_wrong_kernel_differs_from_the_sound_one_and_from_the_others() {
        let sound = ElfImage::small().bytes();
        let images: Vec<Vec<u8>> = kernels(&sound).into_iter().map(|(_, image)| image).collect();
        assert!(images.iter().all(|image| *image != sound));
        assert_eq!(images.iter().collect::<BTreeSet<_>>().len(), images.len());
    }

    #[test]
    fn file_names_are_unique() {
        let files = files(&ElfImage::small().bytes());
        let names: BTreeSet<&String> = files.iter().map(|(name, _)| name).collect();
        assert_eq!(names.len(), files.len());
    }

    #[test]
    fn the_header_has_its_fields_where_elf_has_them() {
        let bytes = ElfImage::small().bytes();
        assert_eq!(&bytes[..6], b"\x7fELF\x02\x01");
        assert_eq!(bytes[18], 62);
        assert_eq!(bytes[54], 56);
        assert_eq!(bytes[56], 2);
    }
}
