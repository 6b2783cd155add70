//! What guests see of processors: made-up ones with every bit set, and one like QEMU's.

use hv_core::cpuid::features;
use hv_core::cpuid::{Leaf, Policy, QueryContext, Vendor, Via, XenInfo};
use hv_core::emul::cr::{CR4_FSGSBASE, CR4_OSXSAVE};
use hv_core::trap::Mode;
use proptest::prelude::*;

const XEN: XenInfo = XenInfo {
    machine_address_bits: 40,
    incarnation: 1,
    khz: 1_000_000,
    mul: 0x8000_0000,
    shift: -1,
};
const AMD: [u32; 3] = [0x6874_7541, 0x444d_4163, 0x6974_6e65];
const INTEL: [u32; 3] = [0x756e_6547, 0x6c65_746e, 0x4965_6e69];

/// A processor that has every bit of every leaf.
fn every_bit(vendor: [u32; 3]) -> impl Fn(u32, u32) -> Leaf {
    move |leaf, subleaf| match (leaf, subleaf) {
        (0, _) => [0x20, vendor[0], vendor[1], vendor[2]],
        (0x8000_0000, _) => [0x8000_0028, vendor[0], vendor[1], vendor[2]],
        (0xd, 2) => [256, 576, 0, 0],
        (0xd, 5..=7) => [256, 832, 0, 0],
        (0x4000_0000.., _) if leaf < 0x8000_0000 => panic!("the host's hypervisor is not asked"),
        _ => [u32::MAX; 4],
    }
}

/// x87, SSE, AVX and AVX-512.
const XSTATES: u64 = 0xe7;

const CONTEXT: QueryContext = QueryContext {
    mode: Mode::Kernel,
    via: Via::Prefix,
    guest_osxsave: false,
    hypervisor_osxsave: false,
    xcr0: 3,
    xen: XEN,
};

fn query(policy: &Policy, leaf: u32, subleaf: u32) -> Leaf {
    policy.query(leaf, subleaf, &CONTEXT)
}

#[test]
fn dangerous_features_are_hidden_from_a_processor_that_has_everything() {
    for vendor in [AMD, INTEL] {
        for is_dom0 in [false, true] {
            let policy = Policy::new(every_bit(vendor), is_dom0, XSTATES);
            let [_, ebx, ecx, edx] = query(&policy, 1, 0);
            assert_eq!(ebx >> 24, 0, "the APIC number");
            let vme_pse_pge_pse36_ds_tm_pbe =
                1 << 1 | 1 << 3 | 1 << 13 | 1 << 17 | 1 << 21 | 1 << 29 | 1 << 31;
            assert_eq!(edx & vme_pse_pge_pse36_ds_tm_pbe, 0);
            assert_eq!(edx & features::MTRR != 0, is_dom0);
            // DTES64 MONITOR DSCPL VMX SMX TM2 XTPR PDCM PCID DCA X2APIC TSC_DEADLINE OSXSAVE
            for bit in [2, 3, 4, 5, 6, 8, 14, 15, 17, 18, 21, 24, 27] {
                assert_eq!(ecx >> bit & 1, 0, "leaf 1 ecx bit {bit}");
            }
            assert_eq!(ecx & features::HYPERVISOR, features::HYPERVISOR);
            let [_, ebx, ecx, edx] = query(&policy, 7, 0);
            // TSC_ADJUST SGX SMEP INVPCID PQM MPX PQE SMAP PROC_TRACE
            for bit in [1, 2, 7, 10, 12, 14, 15, 20, 25] {
                assert_eq!(ebx >> bit & 1, 0, "leaf 7 ebx bit {bit}");
            }
            // UMIP PKU OSPKE CET_SS ENQCMD
            for bit in [2, 3, 4, 7, 29] {
                assert_eq!(ecx >> bit & 1, 0, "leaf 7 ecx bit {bit}");
            }
            assert_eq!(edx >> 26, 0, "speculation control is not offered");
            let [_, _, ecx, edx] = query(&policy, 0x8000_0001, 0);
            // PSE PGE PSE36 of AMD's repetition, PAGE1GB
            for bit in [3, 13, 17, 26] {
                assert_eq!(edx >> bit & 1, 0, "extended leaf 1 edx bit {bit}");
            }
            // SVM EXTAPIC CR8_LEGACY OSVW IBS SKINIT WDT LWP NODEID TOPOEXT DBEXT MONITORX
            for bit in [2, 3, 4, 9, 10, 12, 13, 15, 19, 22, 26, 29] {
                assert_eq!(ecx >> bit & 1, 0, "extended leaf 1 ecx bit {bit}");
            }
            assert_eq!(query(&policy, 0xd, 1)[0], 7, "XSAVES is hidden");
            assert_eq!(query(&policy, 0xa, 0), [0; 4]);
            assert_eq!(query(&policy, 0x8000_000a, 0), [0; 4]);
        }
    }
}

#[test]
fn what_linux_needs_is_shown() {
    let policy = Policy::new(every_bit(AMD), false, XSTATES);
    assert_eq!(policy.vendor(), Vendor::Amd);
    let [_, _, ecx, edx] = query(&policy, 1, 0);
    assert_eq!(edx & features::LEAF_1_EDX.shown(u64::MAX), features::LEAF_1_EDX.shown(u64::MAX));
    assert_eq!(ecx & features::LEAF_1_ECX.shown(u64::MAX), features::LEAF_1_ECX.shown(u64::MAX));
    let [_, _, _, edx] = query(&policy, 0x8000_0001, 0);
    let syscall_nx_rdtscp_lm = 1 << 11 | 1 << 20 | 1 << 27 | 1 << 29;
    assert_eq!(edx & syscall_nx_rdtscp_lm, syscall_nx_rdtscp_lm);
    assert_eq!(edx & 0x1ff & !(1 << 1 | 1 << 3), 0x1f5, "AMD repeats leaf 1");
    assert_eq!(query(&policy, 7, 0)[1] & features::FSGSBASE, features::FSGSBASE);
    assert_eq!(policy.offered_cr4() & (CR4_FSGSBASE | CR4_OSXSAVE), CR4_FSGSBASE | CR4_OSXSAVE);
}

#[test]
fn the_largest_leaves_are_limited_and_beyond_them_is_nothing() {
    let policy = Policy::new(every_bit(AMD), false, XSTATES);
    assert_eq!(query(&policy, 0, 0)[0], 0xd);
    assert_eq!(query(&policy, 0x8000_0000, 0)[0], 0x8000_0021);
    let intel = Policy::new(every_bit(INTEL), false, XSTATES);
    assert_eq!(query(&intel, 0x8000_0000, 0)[0], 0x8000_0008);
    for leaf in [0xe, 0x20, 0x3fff_ffff, 0x4000_0100, 0x8000_0022, 0xc000_0000, u32::MAX] {
        assert_eq!(query(&policy, leaf, 0), [0; 4], "{leaf:#x}");
    }
    assert_eq!(query(&policy, 7, 3), [0; 4]);
    assert_eq!(query(&intel, 4, 100), [0; 4]);
}

#[test]
fn osxsave_is_the_guests_bit_and_leaks_to_a_kernel_through_the_prefix() {
    let policy = Policy::new(every_bit(AMD), false, XSTATES);
    let shows = |mode, via, guest_osxsave, hypervisor_osxsave| {
        let context = QueryContext { mode, via, guest_osxsave, hypervisor_osxsave, ..CONTEXT };
        policy.query(1, 0, &context)[2] & features::OSXSAVE != 0
    };
    assert!(shows(Mode::User, Via::Fault, true, false));
    assert!(shows(Mode::Kernel, Via::Prefix, false, true));
    assert!(!shows(Mode::User, Via::Prefix, false, true));
    assert!(!shows(Mode::Kernel, Via::Fault, false, true));
    assert!(!shows(Mode::Kernel, Via::Prefix, false, false));
    let without = Policy::new(every_bit(AMD), false, 0);
    let context = QueryContext { guest_osxsave: true, hypervisor_osxsave: true, ..CONTEXT };
    assert_eq!(without.query(1, 0, &context)[2] & (features::OSXSAVE | features::XSAVE), 0);
}

#[test]
fn without_switched_states_nothing_that_needs_them_is_shown() {
    let policy = Policy::new(every_bit(AMD), false, 0);
    let ecx = query(&policy, 1, 0)[2];
    assert_eq!(ecx & (1 << 12 | 1 << 26 | 1 << 28 | 1 << 29), 0, "FMA XSAVE AVX F16C");
    let [_, ebx, ecx, _] = query(&policy, 7, 0);
    assert_eq!((ebx & (1 << 5 | 1 << 16), ecx & (1 << 9)), (0, 0), "AVX2 AVX512F VAES");
    assert_eq!(query(&policy, 0xd, 0), [0; 4]);
    assert_eq!(policy.offered_xcr0(), 0);
    assert_eq!(policy.offered_cr4() & CR4_OSXSAVE, 0);
}

#[test]
fn monitor_is_for_a_control_domain_that_faults() {
    for (is_dom0, via, expected) in
        [(true, Via::Fault, true), (true, Via::Prefix, false), (false, Via::Fault, false)]
    {
        let policy = Policy::new(every_bit(INTEL), is_dom0, XSTATES);
        let context = QueryContext { via, ..CONTEXT };
        assert_eq!(policy.query(1, 0, &context)[2] & features::MONITOR != 0, expected);
        assert_eq!(policy.query(5, 0, &context) != [0; 4], expected);
    }
}

#[test]
fn the_leaves_of_the_interface_are_there() {
    let policy = Policy::new(every_bit(AMD), false, XSTATES);
    let ask = |leaf, subleaf| policy.query(leaf, subleaf, &CONTEXT);
    assert_eq!(ask(0x4000_0000, 0), [0x4000_0005, 0x566e_6558, 0x6558_4d4d, 0x4d4d_566e]);
    assert_eq!(ask(0x4000_0001, 0), [4 << 16 | 17, 0, 0, 0]);
    assert_eq!(ask(0x4000_0002, 0), [1, 0x4000_0000, 1, 0]);
    assert_eq!(ask(0x4000_0003, 0), [0, 0, 1_000_000, 1]);
    assert_eq!(ask(0x4000_0003, 1), [0, 0, 0x8000_0000, u32::MAX]);
    assert_eq!(ask(0x4000_0003, 2), [1_000_000, 0, 0, 0]);
    assert_eq!(ask(0x4000_0004, 0), [0; 4]);
    assert_eq!(ask(0x4000_0005, 0), [0, 40, 0, 0]);
    assert_eq!(ask(0x4000_0006, 0), [0; 4]);
}

#[test]
fn the_invariant_counter_is_hidden() {
    let policy = Policy::new(every_bit(AMD), true, XSTATES);
    assert_eq!(query(&policy, 0x8000_0007, 0), [0; 4]);
}

proptest! {
    /// A guest never sees a feature the processor does not have.
    #[test]
    fn features_are_a_part_of_the_processors(words in any::<[u32; 12]>(), switched in any::<u64>()) {
        let host = |leaf: u32, subleaf: u32| match (leaf, subleaf) {
            (0, _) => [0x16, AMD[0], AMD[1], AMD[2]],
            (1, _) => [0xa20f10, 0, words[0], words[1]],
            (7, 0) => [2, words[2], words[3], words[4]],
            (7, 1) => [words[5], 0, 0, 0],
            (0xd, 0) => [words[6], 0, 0, 0],
            (0xd, 1) => [words[7], 0, 0, 0],
            (0x8000_0000, _) => [0x8000_0021, 0, 0, 0],
            (0x8000_0001, _) => [0, 0, words[8], words[9]],
            (0x8000_0008, _) => [0x3030, words[10], 0, 0],
            (0x8000_0021, _) => [words[11], 0, 0, 0],
            _ => [0; 4],
        };
        let policy = Policy::new(host, false, switched);
        let shown = [
            query(&policy, 1, 0)[2] & !features::HYPERVISOR,
            query(&policy, 1, 0)[3],
            query(&policy, 7, 0)[1],
            query(&policy, 7, 0)[2],
            query(&policy, 7, 0)[3],
            query(&policy, 7, 1)[0],
            query(&policy, 0xd, 0)[0],
            query(&policy, 0xd, 1)[0],
            query(&policy, 0x8000_0001, 0)[2],
            query(&policy, 0x8000_0001, 0)[3] & !features::COMMON_EDX,
            query(&policy, 0x8000_0008, 0)[1],
            query(&policy, 0x8000_0021, 0)[0],
        ];
        for (shown, has) in shown.iter().zip(words) {
            prop_assert_eq!(shown & !has, 0);
        }
        prop_assert_eq!(policy.family(), 0x19);
        prop_assert_eq!(policy.offered_xcr0() & !switched, 0);
    }
}
