//! Recognition of kernels: what is accepted, what is refused and with which words.

use crate::common::{number, plain_notes, small_kernel, text, Image};
use proptest::prelude::*;
use pv_builder::elf::ElfError;
use pv_builder::notes::NoteSource;
use pv_builder::{BuildKind, KernelError, KernelInfo, Params, Plan};

const BASE: u64 = 0xffff_ffff_8000_0000;

fn params(kind: BuildKind, nr_pages: u64) -> Params<'static> {
    Params { kind, nr_pages, ramdisk_len: None, cmdline: "", start_info_extra: 0 }
}

#[test]
fn notes_of_a_linux_kernel_are_understood() {
    let notes = [
        text(6, "linux"),
        text(7, "2.6"),
        number(1, BASE + 0x10_0200),
        number(15, 0x80_0000_0000),
        number(16, 1),
        text(9, "yes"),
        text(10, "!writable_page_tables|pae_pgdir_above_4gb"),
        number(17, 0x8801),
        number(12, 0xffff_8000_0000_0000),
        number(14, 1),
        number(4, 0),
        crate::common::note(13, &[1; 16]),
        number(99, 7),
    ];
    let info = KernelInfo::parse(&small_kernel(BASE, &notes)).unwrap();
    assert_eq!(info.entry, BASE + 0x10_0200);
    assert_eq!(info.init_p2m, Some(0x80_0000_0000));
    assert!(info.mod_start_pfn && info.pae_mode_yes && info.suspend_cancel);
    assert_eq!((info.guest_os.as_str(), info.guest_version.as_str()), ("linux", "2.6"));
    assert_eq!(info.source, NoteSource::Segments);
    assert_eq!(info.l1_mfn_valid, [(0x0101_0101_0101_0101, 0x0101_0101_0101_0101)]);
    assert_eq!((info.virt_kstart, info.virt_kend), (BASE + 0x10_0000, BASE + 0x10_6000));
    assert_eq!(info.hypercall_page, None);
}

#[test]
fn sections_of_notes_are_used_when_no_segment_has_any() {
    let image = Image { entry: 0x1000, ..Image::default() }.load(0, &[0; 0x2000], 0x2000);
    let notes = [text(5, "xen-3.0-x86_64"), text(8, "generic")].concat();
    let info = KernelInfo::parse(&image.section(".note", 7, 0, &notes).build()).unwrap();
    assert_eq!(info.source, NoteSource::Sections);
    assert_eq!((info.virt_base, info.paddr_offset, info.entry), (0, 0, 0x1000));
}

#[test]
fn the_legacy_string_is_the_last_source() {
    let string = b"GUEST_OS=netbsd,XEN_VER=xen-3.0,LOADER=generic,VIRT_BASE=0x40000000,\
        VIRT_ENTRY=0x40100000,HYPERCALL_PAGE=0x101,BSD_SYMTAB=yes\0";
    let image = Image::default().load(0x4010_0000, &[0; 0x2000], 0x2000);
    let info = KernelInfo::parse(&image.section("__xen_guest", 1, 0, string).build()).unwrap();
    assert_eq!(info.source, NoteSource::LegacyString);
    assert_eq!((info.virt_base, info.paddr_offset), (0x4000_0000, 0x4000_0000));
    assert_eq!(info.hypercall_page, Some(0x4010_1000));
    assert_eq!(info.segments[0].paddr, 0x10_0000);
    assert_eq!(info.symbol_table, None, "there are no symbols to load");
}

#[test]
fn numbers_of_one_two_four_and_eight_bytes_are_taken() {
    for len in [1, 2, 4, 8] {
        let note = crate::common::note(16, &1_u64.to_le_bytes()[..len]);
        assert!(KernelInfo::parse(&small_kernel(BASE, &[note])).unwrap().mod_start_pfn);
    }
    let image = small_kernel(BASE, &[crate::common::note(16, &[1, 0, 0])]);
    assert_eq!(KernelInfo::parse(&image), Err(KernelError::BadNumber { note: "MOD_START_PFN" }));
}

#[test]
fn an_unusable_p2m_address_falls_back_and_one_inside_the_kernel_is_refused() {
    for va in [BASE, BASE + 0x20_0000, 0x80_0000_0001] {
        let info = KernelInfo::parse(&small_kernel(BASE, &[number(15, va)])).unwrap();
        assert_eq!(info.init_p2m, None, "{va:#x}");
    }
    let image = small_kernel(BASE, &[number(15, BASE + 0x10_1000)]);
    let error = KernelInfo::parse(&image).unwrap_err();
    assert!(matches!(error, KernelError::Misplaced { note: "INIT_P2M", .. }));
}

#[test]
fn wrong_kernels_are_refused_with_the_reason() {
    let with = |notes: &[Vec<u8>], paddr: u64, entry: u64| {
        Image { entry, ..Image::default() }.load(paddr, &[0; 64], 64).notes(notes).build()
    };
    let generic = [text(5, "xen-3.0"), text(8, "generic")];
    let cases: Vec<(Vec<u8>, &str)> = vec![
        (with(&[], 0, 0), "no Xen notes and no __xen_guest section: this is not a PV kernel"),
        (with(&[text(8, "generic")], 0, 0), "XEN_VERSION is missing, expected xen-3.0"),
        (with(&[text(5, "xen-2.0")], 0, 0), "XEN_VERSION is 'xen-2.0', expected xen-3.0"),
        (
            with(&[text(5, "xen-3.0"), text(6, "plan9")], 0, 0),
            "LOADER is '' and GUEST_OS is 'plan9', expected loader generic or operating system \
             linux",
        ),
        (with(&[generic.concat(), number(4, 4096)], 0, 0), "PADDR_OFFSET without VIRT_BASE"),
        (
            with(&[plain_notes(BASE).concat(), number(4, 4096)], 0, BASE),
            "a segment at physical address 0x0 lies below PADDR_OFFSET 0x1000",
        ),
        (with(&generic, 0, 0x5000), "ENTRY 0x5000 does not fit the kernel image 0x0 to 0x40"),
        (
            with(&plain_notes(BASE + 1), 0, BASE + 1),
            "VIRT_BASE 0xffffffff80000001 is not page aligned",
        ),
        (
            with(&plain_notes(0xffff_8000_0000_0000), 0, 0xffff_8000_0000_0000),
            "the kernel image at 0xffff800000000000 (0x40 bytes) leaves the addresses a guest may \
             use",
        ),
        (
            with(&[generic.concat(), number(2, 0x1000)], 0, 0),
            "HYPERCALL_PAGE 0x1000 does not fit the kernel image 0x0 to 0x40",
        ),
        (Image::default().notes(&generic).build(), "the ELF file has no loadable segment"),
        (
            Image::default().load(0, &[], 32).load(16, &[], 32).notes(&generic).build(),
            "two segments overlap at physical address 0x10",
        ),
        (vec![0x1f, 0x8b, 8], "the file is compressed with gzip: decompress it first"),
        (b"#!/bin/sh".to_vec(), "not an ELF file"),
        (vec![], "not an ELF file"),
        (b"\x7fELF\x01\x01".to_vec(), "a 32-bit ELF file; only 64-bit kernels are supported"),
        (b"\x7fELF\x02\x01".to_vec(), "the ELF header is cut off (needs 0x40, file has 0x6)"),
    ];
    for (image, words) in cases {
        assert_eq!(KernelInfo::parse(&image).unwrap_err().to_string(), words);
    }
}

#[test]
fn a_segment_beyond_the_file_is_named_with_both_lengths() {
    let mut image = small_kernel(BASE, &[]);
    image.truncate(0x2000);
    let error = KernelInfo::parse(&image).unwrap_err();
    assert_eq!(
        error,
        KernelError::Elf(ElfError::SegmentOutside { index: 0, need: 0x40b0, have: 0x2000 })
    );
    let words = "segment 0 ends beyond the file (needs 0x40b0, file has 0x2000)";
    assert_eq!(error.to_string(), words);
}

#[test]
fn only_the_right_kind_of_kernel_becomes_dom0_or_domu() {
    let never_dom0 = KernelInfo::parse(&small_kernel(BASE, &[number(17, 1)])).unwrap();
    let error = Plan::new(&never_dom0, params(BuildKind::Dom0, 4096)).unwrap_err();
    assert!(error.to_string().contains("lack dom0"));
    assert!(Plan::new(&never_dom0, params(BuildKind::DomU, 4096)).is_ok());

    let only_dom0 = KernelInfo::parse(&small_kernel(BASE, &[text(10, "!dom0")])).unwrap();
    assert!(Plan::new(&only_dom0, params(BuildKind::Dom0, 4096)).is_ok());
    assert!(Plan::new(&only_dom0, params(BuildKind::DomU, 4096)).is_err());
}

#[test]
fn a_bsd_kernel_finds_its_symbols_behind_its_image() {
    let (symbols, strings) = ([0x11; 48], *b"\0main\0");
    let mut notes = plain_notes(BASE);
    notes.push(text(11, "yes"));
    let image = Image { entry: BASE, ..Image::default() }
        .load(0, &[0x90; 0x1001], 0x1001)
        .notes(&notes)
        .section(".symtab", 2, 2, &symbols)
        .section(".strtab", 3, 0, &strings)
        .build();
    let info = KernelInfo::parse(&image).unwrap();
    let table = info.symbol_table.unwrap();
    assert_eq!(table.va, BASE + 0x1008);
    assert_eq!(table.head.len(), 4 + 64 + 3 * 64);
    assert_eq!(table.symbols.va, BASE + 0x1008 + 264);
    assert_eq!(table.strings.va, table.symbols.va + 48);
    assert_eq!(info.virt_kend, table.strings.va + 6);
    let word = |at: usize| u64::from_le_bytes(table.head[at..at + 8].try_into().unwrap());
    let total_len = u32::from_le_bytes(table.head[..4].try_into().unwrap());
    assert_eq!(u64::from(total_len), info.virt_kend - (table.va + 4));
    assert_eq!(word(4 + 40), 64, "the section headers follow the ELF header");
    assert_eq!(word(4 + 64 + 64 + 24), table.symbols.va - (table.va + 4));
    assert_eq!(word(4 + 64 + 128 + 24), table.strings.va - (table.va + 4));
    let bytes_of = |copy: pv_builder::FileCopy| {
        image[copy.file_offset as usize..(copy.file_offset + copy.file_len) as usize].to_vec()
    };
    assert_eq!(bytes_of(table.symbols), symbols);
    assert_eq!(bytes_of(table.strings), strings);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..512)) {
        let mut image = b"\x7fELF\x02\x01".to_vec();
        image.extend(&bytes);
        prop_assert!(KernelInfo::parse(&image).is_err());
    }

    /// A sound kernel with some bytes of its headers, notes and sections replaced either is refused
    /// or gives segments inside the file and the declared range.
    #[test]
    fn a_damaged_kernel_is_refused_or_stays_in_bounds(
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        interesting in prop::collection::vec(
            (any::<prop::sample::Index>(),
             prop::sample::select(vec![0, 1, 1 << 47, u64::MAX, u64::MAX - 4095, 1 << 63])), 0..2),
        pages in 0_u64..100_000,
    ) {
        let mut notes = plain_notes(BASE);
        notes.extend([text(11, "yes"), number(15, 0x80_0000_0000), number(2, BASE)]);
        let mut image = Image { entry: BASE, ..Image::default() }
            .load(0, &[0; 64], 0x3000)
            .notes(&notes)
            .section(".symtab", 2, 2, &[1; 48])
            .section(".strtab", 3, 0, b"\0main\0")
            .build();
        let image_len = image.len();
        for (at, byte) in damage {
            image[at.index(image_len)] = byte;
        }
        for (at, word) in interesting {
            let at = at.index(image_len / 8) * 8;
            image[at..at + 8].copy_from_slice(&word.to_le_bytes());
        }
        if let Ok(info) = KernelInfo::parse(&image) {
            for segment in &info.segments {
                prop_assert!(segment.file_offset + segment.file_len <= image_len as u64);
                prop_assert!(segment.va >= info.virt_kstart);
                prop_assert!(segment.va + segment.mem_len <= info.virt_kend);
            }
            for kind in [BuildKind::Dom0, BuildKind::DomU] {
                if let Ok(plan) = Plan::new(&info, params(kind, pages)) {
                    prop_assert!(plan.mapped_pages <= pages);
                }
            }
        }
    }
}
