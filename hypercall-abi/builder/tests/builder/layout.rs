//! The layout: disjoint regions, the mapping rule, the page tables and the start page.

use crate::common::{number, small_kernel, text};
use hypercall_abi::addr::{Mfn, Pfn};
use hypercall_abi::ids::EvtchnPort;
use hypercall_abi::mmu::pte;
use hypercall_abi::start_info::Sif;
use proptest::prelude::*;
use pv_builder::{
    BuildKind, Console, KernelInfo, Params, Plan, PlanError, Region, StartInfoValues,
};
use std::collections::{BTreeMap, BTreeSet};

const LINUX_BASE: u64 = 0xffff_ffff_8000_0000;
const MIB: u64 = 256;

fn plan(base: u64, notes: &[Vec<u8>], params: Params<'_>) -> Result<Plan, PlanError> {
    Plan::new(&KernelInfo::parse(&small_kernel(base, notes)).unwrap(), params)
}

fn dom_u(nr_pages: u64) -> Params<'static> {
    Params {
        kind: BuildKind::DomU,
        nr_pages,
        ramdisk_len: None,
        cmdline: "root=/dev/xvda",
        start_info_extra: 0,
    }
}

fn regions(plan: &Plan) -> Vec<Region> {
    let mut all =
        vec![plan.kernel, plan.p2m, plan.p2m_tables, plan.start_info, plan.tables, plan.boot_stack];
    all.extend([plan.ramdisk, plan.xenstore, plan.console].into_iter().flatten());
    all
}

/// Machine frames in an order that has nothing to do with the pseudo-physical one.
fn mfn_of(pfn: Pfn) -> Mfn {
    Mfn::new(0x10_0000 - 3 * pfn.get())
}

/// All translations that a processor would find in the emitted tables.
fn translations(plan: &Plan) -> BTreeMap<u64, u64> {
    let mut tables: BTreeMap<u64, BTreeMap<usize, u64>> = BTreeMap::new();
    plan.page_tables(mfn_of, |table, index, entry| {
        let table = tables.entry(mfn_of(table).get()).or_default();
        assert_eq!(table.insert(index, entry), None, "an entry is written once");
    });
    let mut reached = BTreeSet::new();
    let mut found = BTreeMap::new();
    let mut work = vec![(4_u32, mfn_of(plan.entry.root).get(), 0_u64)];
    while let Some((level, table, va)) = work.pop() {
        assert!(reached.insert(table), "a table is used once");
        for (index, entry) in &tables[&table] {
            let child = va | (*index as u64) << (12 + 9 * (level - 1));
            match level {
                1 => assert_eq!(found.insert(child, *entry), None),
                _ => work.push((level - 1, pte::mfn(*entry).get(), child)),
            }
            if level > 1 {
                assert_eq!(*entry & !pte::FRAME_MASK, 0x67);
            }
        }
    }
    assert_eq!(reached.len(), tables.len(), "every table is reached");
    assert_eq!(tables.len() as u64, plan.tables.pages + plan.p2m_tables.pages);
    found
}

fn low48(va: u64) -> u64 {
    va & 0xffff_ffff_ffff
}

fn check_translations(plan: &Plan) {
    let found = translations(plan);
    let mut expected = BTreeMap::new();
    for page in 0..plan.mapped_pages {
        expected.insert(low48(plan.virt_base + page * 4096), Pfn::new(page));
    }
    if plan.has_separate_p2m {
        for page in 0..plan.p2m.pages {
            let va = plan.p2m.va.unwrap() + page * 4096;
            expected.insert(low48(va), Pfn::new(plan.p2m.first.get() + page));
        }
    }
    assert_eq!(found.len(), expected.len());
    for ((va, entry), (expected_va, pfn)) in found.iter().zip(&expected) {
        assert_eq!(va, expected_va);
        assert_eq!(pte::mfn(*entry), mfn_of(*pfn));
        assert_eq!(entry & pte::RW == 0, plan.is_table(*pfn), "tables alone are read-only");
    }
}

#[test]
fn a_small_domain_is_laid_out_in_the_documented_order() {
    let plan = plan(LINUX_BASE, &[], dom_u(16 * MIB)).unwrap();
    let first = |region: Region| (region.first.get(), region.pages);
    // The kernel ends at 1 MiB + 24 KiB, the P2M of 4096 pages has 8 pages.
    assert_eq!(first(plan.kernel), (0, 0x106));
    assert_eq!(first(plan.p2m), (0x106, 8));
    assert_eq!(first(plan.start_info), (0x10e, 1));
    assert_eq!(first(plan.xenstore.unwrap()), (0x10f, 1));
    assert_eq!(first(plan.console.unwrap()), (0x110, 1));
    // 4 MiB need two L1 tables and one of each higher level.
    assert_eq!(first(plan.tables), (0x111, 5));
    assert_eq!(first(plan.boot_stack), (0x116, 1));
    assert_eq!(plan.map_end(), LINUX_BASE + 0x40_0000);
    assert_eq!(plan.entry.rsp, LINUX_BASE + 0x11_7000);
    assert_eq!(plan.entry.rip, LINUX_BASE + 0x10_0000);
    assert_eq!(plan.entry.start_info, LINUX_BASE + 0x10_e000);
    let levels: Vec<_> = plan.all_tables().map(|table| (table.level, table.pfn.get())).collect();
    assert_eq!(levels, [(4, 0x111), (3, 0x112), (2, 0x113), (1, 0x114), (1, 0x115)]);
}

#[test]
fn a_separate_p2m_and_ramdisk_lie_behind_the_mapping() {
    let params = Params { ramdisk_len: Some(5000), ..dom_u(16 * MIB) };
    let notes = [number(15, 0x80_0000_0000), number(16, 1)];
    let plan = plan(LINUX_BASE, &notes, params).unwrap();
    assert_eq!(plan.mapped_pages, 4 * MIB);
    let ramdisk = plan.ramdisk.unwrap();
    assert_eq!((ramdisk.first.get(), ramdisk.pages, ramdisk.va), (4 * MIB, 2, None));
    assert_eq!((plan.p2m.first.get(), plan.p2m.pages), (4 * MIB + 2, 8));
    assert_eq!(plan.p2m.va, Some(0x80_0000_0000));
    assert_eq!((plan.p2m_tables.first.get(), plan.p2m_tables.pages), (4 * MIB + 10, 3));
    check_translations(&plan);
}

#[test]
fn dom0_has_no_ring_pages_and_its_entries_are_guest_kernel_pages() {
    let params = Params { kind: BuildKind::Dom0, ..dom_u(32 * MIB) };
    let plan = plan(LINUX_BASE, &[text(9, "yes")], params).unwrap();
    assert_eq!((plan.xenstore, plan.console), (None, None));
    for (va, entry) in translations(&plan) {
        let page = (va - low48(LINUX_BASE)) / 4096;
        let rw = if plan.is_table(Pfn::new(page)) { 0 } else { pte::RW };
        assert_eq!(entry & !pte::FRAME_MASK, 0x65 | rw | 1 << 52);
    }
}

#[test]
fn whole_table_images_equal_the_single_entries() {
    let plan = plan(LINUX_BASE, &[number(15, 0x80_0000_0000)], dom_u(64 * MIB)).unwrap();
    let mut single: BTreeMap<Pfn, Vec<u64>> = BTreeMap::new();
    plan.page_tables(mfn_of, |table, index, entry| {
        single.entry(table).or_insert_with(|| vec![0; 512])[index] = entry;
    });
    let mut whole = BTreeMap::new();
    plan.table_images(mfn_of, |image| {
        whole.insert(image.pfn, image.entries.to_vec());
    });
    assert_eq!(single, whole);
}

#[test]
fn too_little_memory_names_what_is_needed() {
    let error = plan(LINUX_BASE, &[], dom_u(2 * MIB)).unwrap_err();
    assert_eq!(error, PlanError::TooLittleMemory { needed_pages: 1024, given_pages: 512 });
    let words = "too little memory: kernel and ramdisk need at least 4 MiB, the domain has 2 MiB";
    assert_eq!(error.to_string(), words);
    assert!(plan(LINUX_BASE, &[], dom_u(4 * MIB)).is_ok());
}

#[test]
fn parameters_that_do_not_fit_are_refused() {
    let long = "x".repeat(1024);
    let error = plan(LINUX_BASE, &[], Params { cmdline: &long, ..dom_u(16 * MIB) }).unwrap_err();
    assert_eq!(error, PlanError::CommandLineTooLong { len: 1024 });
    assert!(plan(LINUX_BASE, &[], Params { cmdline: &long[1..], ..dom_u(16 * MIB) }).is_ok());
    let with_nul = Params { cmdline: "a\0b", ..dom_u(16 * MIB) };
    assert_eq!(plan(LINUX_BASE, &[], with_nul), Err(PlanError::CommandLineHasNul));
    let extra = Params { start_info_extra: 4096, ..dom_u(16 * MIB) };
    let error = plan(LINUX_BASE, &[], extra).unwrap_err();
    assert_eq!(error, PlanError::StartInfoTooLong { extra: 4096 });
    for nr_pages in [u64::MAX, u64::MAX / 8, 1 << 52] {
        let notes = [number(15, 0x80_0000_0000)];
        assert!(plan(LINUX_BASE, &notes, dom_u(nr_pages)).is_err());
        assert!(plan(LINUX_BASE, &[], dom_u(nr_pages)).is_err());
    }
    let huge = Params { ramdisk_len: Some(u64::MAX), ..dom_u(16 * MIB) };
    assert!(plan(LINUX_BASE, &[], huge).is_err());
}

#[test]
fn a_p2m_that_would_reach_into_the_kernel_mapping_is_refused() {
    let notes = [number(15, 0x3fff_f000)];
    assert!(plan(0x4000_0000, &notes, dom_u(16 * MIB)).is_err());
}

fn values(console: Console) -> StartInfoValues {
    StartInfoValues {
        shared_info_maddr: 0x1234_5000,
        flags: Sif::empty(),
        store_mfn: Mfn::new(7),
        store_port: EvtchnPort::new(1),
        console,
    }
}

#[test]
fn the_start_page_of_a_domain_describes_its_plan() {
    let params = Params { ramdisk_len: Some(5000), ..dom_u(16 * MIB) };
    let plan = plan(LINUX_BASE, &[text(9, "yes")], params).unwrap();
    let ring = Console::Ring { mfn: Mfn::new(8), port: EvtchnPort::new(2) };
    let info = plan.start_info(&values(ring));
    assert_eq!(&info.magic[..15], b"xen-3.0-x86_64\0");
    assert_eq!((info.nr_pages, info.shared_info_maddr), (4096, 0x1234_5000));
    assert_eq!((info.store_mfn.get(), info.store_evtchn.get()), (7, 1));
    assert_eq!((info.console_mfn.get(), info.console_evtchn.get()), (8, 2));
    assert_eq!(info.pt_base, plan.tables.va.unwrap());
    assert_eq!(info.nr_pt_frames, plan.tables.pages);
    assert_eq!(info.mfn_list, plan.p2m.va.unwrap());
    assert_eq!((info.mod_start, info.mod_len), (LINUX_BASE + 0x10_6000, 8192));
    assert_eq!(info.cmd_line(), b"root=/dev/xvda");
    assert_eq!((info.first_p2m_pfn, info.nr_p2m_frames), (0, 0));
    assert_eq!(info.flags, Sif::empty());
}

#[test]
fn the_start_page_of_dom0_differs_as_documented() {
    let params = Params { kind: BuildKind::Dom0, ramdisk_len: Some(5000), ..dom_u(32 * MIB) };
    let notes = [text(9, "yes"), number(15, 0x80_0000_0000), number(16, 1)];
    let plan = plan(LINUX_BASE, &notes, params).unwrap();
    let mut given = values(Console::Screen { len: 40 });
    given.flags = Sif::PRIVILEGED | Sif::INITDOMAIN;
    let info = plan.start_info(&given);
    assert_eq!(&info.magic[..16], b"xen-3.0-x86_64p\0");
    assert_eq!(info.dom0_console(), (1168, 40));
    assert_eq!(info.mod_start, plan.ramdisk.unwrap().first.get());
    assert_eq!(info.mod_len, 5000);
    assert_eq!(info.flags, Sif::PRIVILEGED | Sif::INITDOMAIN | Sif::MOD_START_PFN);
    assert_eq!(info.mfn_list, 0x80_0000_0000);
    assert_eq!(info.first_p2m_pfn, plan.p2m.first.get());
    assert_eq!(info.nr_p2m_frames, plan.p2m.pages + 3);
}

#[test]
fn the_first_context_enters_the_kernel_with_its_start_page() {
    let plan = plan(LINUX_BASE, &[], dom_u(16 * MIB)).unwrap();
    let context = plan.vcpu_context(Mfn::new(0x77));
    assert_eq!(context.user_regs.rip, plan.entry.rip);
    assert_eq!(context.user_regs.rsi, plan.entry.start_info);
    assert_eq!((context.user_regs.cs, context.user_regs.ss), (0xe033, 0xe02b));
    assert_eq!(context.kernel_sp, plan.entry.rsp);
    assert_eq!(context.ctrlreg[3], 0x77_000);
    assert_eq!(context.flags.bits(), 0x24);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn regions_are_disjoint_and_tables_map_exactly_the_ranges(
        base in prop::sample::select(vec![
            0, 0x40_0000, 0x4000_0000, 0x4012_3000, 0x7f_ffe0_0000, 0x80_0000_0000,
            0xffff_8800_0000_0000, 0xffff_ffff_7fff_f000, LINUX_BASE]),
        p2m_below in prop::option::of(prop::sample::select(vec![
            0_u64, 0x20_0000, 0x4000_0000 - 0x10_0000, 0x80_0000_0000 - 0x8000,
            0x80_0000_0000, 0x80_3fff_e000])),
        has_pfn_module in any::<bool>(),
        ramdisk in prop::option::of(0_u64..3_000_000),
        nr_pages in 4 * MIB..80 * MIB,
        is_dom0 in any::<bool>(),
    ) {
        let mut notes = vec![number(16, u64::from(has_pfn_module))];
        notes.extend(p2m_below.map(|va| number(15, va)));
        let kind = if is_dom0 { BuildKind::Dom0 } else { BuildKind::DomU };
        let params = Params { kind, ramdisk_len: ramdisk, ..dom_u(nr_pages) };
        let planned = plan(base, &notes, params);
        prop_assume!(planned.is_ok());
        let plan = planned.unwrap();

        let mut frames = BTreeSet::new();
        for region in regions(&plan) {
            for page in 0..region.pages {
                let pfn = region.first.get() + page;
                prop_assert!(frames.insert(pfn), "frame {:#x} has two uses", pfn);
                prop_assert!(pfn < nr_pages);
            }
        }
        prop_assert_eq!(plan.map_end() % 0x40_0000, 0);
        let stack_end = plan.boot_stack.end().get();
        prop_assert!(plan.mapped_pages - stack_end >= 128);
        prop_assert_eq!(plan.p2m.pages, nr_pages.div_ceil(512));
        prop_assert_eq!(ramdisk.unwrap_or(0).div_ceil(4096), plan.ramdisk.map_or(0, |r| r.pages));
        check_translations(&plan);
    }
}
