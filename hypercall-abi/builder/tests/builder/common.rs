//! Makes ELF images in memory, right or wrong in chosen places.
//!
//! The image has its headers first, then the data of the segments, then the sections. Only what
//! the tests of this crate need is there.

/// A segment to put into an image.
#[derive(Clone, Debug)]
pub struct Seg {
    /// ELF type of the segment.
    pub kind: u32,
    /// Physical address.
    pub paddr: u64,
    /// Contents in the file.
    pub data: Vec<u8>,
    /// Bytes in memory.
    pub mem_len: u64,
}

/// A section to put into an image.
#[derive(Clone, Debug)]
pub struct Sec {
    /// Name.
    pub name: &'static str,
    /// ELF type of the section.
    pub kind: u32,
    /// Related section.
    pub link: u32,
    /// Contents.
    pub data: Vec<u8>,
}

/// An image under construction.
#[derive(Clone, Debug, Default)]
pub struct Image {
    /// Entry of the ELF header.
    pub entry: u64,
    /// Segments.
    pub segs: Vec<Seg>,
    /// Sections; a null section and a name table are added.
    pub secs: Vec<Sec>,
}

/// One note with the name `Xen`.
pub fn note(kind: u32, desc: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for word in [4, desc.len() as u32, kind] {
        bytes.extend(word.to_le_bytes());
    }
    bytes.extend(b"Xen\0");
    bytes.extend(desc);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

/// A note with an 8-byte number.
pub fn number(kind: u32, value: u64) -> Vec<u8> {
    note(kind, &value.to_le_bytes())
}

/// A note with a text.
pub fn text(kind: u32, value: &str) -> Vec<u8> {
    let mut desc = value.as_bytes().to_vec();
    desc.push(0);
    note(kind, &desc)
}

impl Image {
    /// A loadable segment of `mem_len` bytes whose file part is `data`.
    pub fn load(mut self, paddr: u64, data: &[u8], mem_len: u64) -> Self {
        self.segs.push(Seg { kind: 1, paddr, data: data.to_vec(), mem_len });
        self
    }

    /// A note segment.
    pub fn notes(mut self, notes: &[Vec<u8>]) -> Self {
        self.segs.push(Seg { kind: 4, paddr: 0, data: notes.concat(), mem_len: 0 });
        self
    }

    /// A section.
    pub fn section(mut self, name: &'static str, kind: u32, link: u32, data: &[u8]) -> Self {
        self.secs.push(Sec { name, kind, link, data: data.to_vec() });
        self
    }

    /// The bytes of the file.
    pub fn build(&self) -> Vec<u8> {
        let mut file = vec![0; 64 + 56 * self.segs.len()];
        let mut headers = Vec::new();
        for seg in &self.segs {
            let offset = file.len() as u64;
            let flags = 7_u64 << 32;
            let words = [
                u64::from(seg.kind) | flags,
                offset,
                seg.paddr,
                seg.paddr,
                seg.data.len() as u64,
                seg.mem_len,
                8,
            ];
            headers.extend(words.iter().flat_map(|word| word.to_le_bytes()));
            file.extend(&seg.data);
        }
        file[64..64 + headers.len()].copy_from_slice(&headers);
        let shoff = self.push_sections(&mut file);
        self.put_ehdr(&mut file, shoff);
        file
    }

    fn push_sections(&self, file: &mut Vec<u8>) -> u64 {
        if self.secs.is_empty() {
            return 0;
        }
        let mut all = vec![Sec { name: "", kind: 0, link: 0, data: Vec::new() }];
        all.extend(self.secs.iter().cloned());
        let mut names = Vec::new();
        let mut name_at = Vec::new();
        for sec in &all {
            name_at.push(names.len() as u32);
            names.extend(sec.name.as_bytes());
            names.push(0);
        }
        all.push(Sec { name: "", kind: 3, link: 0, data: names });
        name_at.push(0);
        let mut headers = Vec::new();
        for (sec, name) in all.iter().zip(name_at) {
            headers.extend(name.to_le_bytes());
            headers.extend(sec.kind.to_le_bytes());
            let words = [0, 0, file.len() as u64, sec.data.len() as u64];
            headers.extend(words.iter().flat_map(|word| word.to_le_bytes()));
            headers.extend(sec.link.to_le_bytes());
            headers.extend([0; 20]);
            file.extend(&sec.data);
        }
        let shoff = file.len() as u64;
        file.extend(headers);
        shoff
    }

    fn put_ehdr(&self, file: &mut [u8], shoff: u64) {
        let section_count = if shoff == 0 { 0 } else { self.secs.len() as u16 + 2 };
        file[..8].copy_from_slice(&[0x7f, b'E', b'L', b'F', 2, 1, 1, 0]);
        file[16..18].copy_from_slice(&2_u16.to_le_bytes());
        file[18..20].copy_from_slice(&62_u16.to_le_bytes());
        file[24..32].copy_from_slice(&self.entry.to_le_bytes());
        file[32..40].copy_from_slice(&64_u64.to_le_bytes());
        file[40..48].copy_from_slice(&shoff.to_le_bytes());
        let counts = [64, 56, self.segs.len() as u16, 64, section_count, section_count.max(1) - 1];
        for (i, count) in counts.iter().enumerate() {
            file[52 + 2 * i..54 + 2 * i].copy_from_slice(&count.to_le_bytes());
        }
    }
}

/// Notes of a kernel without wishes.
pub fn plain_notes(virt_base: u64) -> Vec<Vec<u8>> {
    vec![text(5, "xen-3.0"), text(8, "generic"), number(3, virt_base)]
}

/// A kernel at `virt_base + 1 MiB` with 16 KiB of code and 8 KiB of zeroed memory.
pub fn small_kernel(virt_base: u64, more_notes: &[Vec<u8>]) -> Vec<u8> {
    let mut notes = plain_notes(virt_base);
    notes.extend(more_notes.iter().cloned());
    let image = Image { entry: virt_base + 0x10_0000, ..Image::default() };
    image.load(0x10_0000, &[0x90; 0x4000], 0x6000).notes(&notes).build()
}
