//! What reads and writes of model-specific registers do, for guests of both vendors.

use hv_core::cpuid::Vendor;
use hv_core::msr::*;
use hypercall_abi::addr::Mfn;
use proptest::prelude::*;

// Registers of the tables, by the names of the manuals.
const PLATFORM_ID: u32 = 0x17;
const FEATURE_CONTROL: u32 = 0x3a;
const SPEC_CTRL: u32 = 0x48;
const APERF: u32 = 0xe8;
const MCG_CAP: u32 = 0x179;
const PERF_CTL: u32 = 0x199;
const THERM_CONTROL: u32 = 0x19a;
const THERM_STATUS: u32 = 0x19c;
const MISC_ENABLE: u32 = 0x1a0;
const ENERGY_PERF_BIAS: u32 = 0x1b0;
const PAT: u32 = 0x277;
const AMD_SYSCFG: u32 = 0xc001_0010;
const AMD_HWCR: u32 = 0xc001_0015;
const AMD_NB_CFG: u32 = 0xc001_001f;
const AMD_DE_CFG: u32 = 0xc001_1029;

/// Whether a register describes AMD's memory map: SYSCFG, IORR, TOP_MEM, TSEG.
fn is_amd_memory_map(msr: u32) -> bool {
    matches!(msr, AMD_SYSCFG | 0xc001_0016..=0xc001_001a | 0xc001_001d | 0xc001_0112 | 0xc001_0113)
}

const HOST_EFER: u64 = 0x1d01; // SCE LME LMA NX SVME

fn policy(vendor: Vendor) -> MsrPolicy {
    MsrPolicy {
        vendor,
        family: 0xf,
        host_efer: HOST_EFER,
        has_tsc_aux: true,
        is_hardware_domain: false,
        is_relaxed: false,
    }
}

fn read_of(msr: u32, vendor: Vendor) -> Read {
    let context = MsrContext { vcpu: 0, can_take_fault: true };
    read(msr, &policy(vendor), &MsrState::default(), &context)
}

fn write_to(msr: u32, value: u64, vendor: Vendor) -> Write {
    write(msr, value, &policy(vendor), &mut MsrState::default())
}

#[test]
fn the_registers_of_every_guest_have_their_values() {
    for vendor in [Vendor::Intel, Vendor::Amd, Vendor::Other] {
        for base in [FS_BASE, GS_BASE, KERNEL_GS_BASE] {
            assert_eq!(read_of(base, vendor), Read::Hardware { clear: 0, set: 0 });
        }
        assert_eq!(read_of(EFER, vendor), Read::Value(0xd01));
        assert_eq!(read_of(PAT, vendor), Read::Value(0x0000_0501_0007_0406));
        assert_eq!(read_of(TSC, vendor), Read::Tsc);
        assert_eq!(read_of(APIC_BASE, vendor), Read::Value(0xfee0_0900));
        assert_eq!(read_of(MCG_CAP, vendor), Read::Value(0));
    }
    let second = MsrContext { vcpu: 1, can_take_fault: true };
    let apic = read(APIC_BASE, &policy(Vendor::Amd), &MsrState::default(), &second);
    assert_eq!(apic, Read::Value(0xfee0_0800));
}

#[test]
fn registers_of_one_vendor_fault_on_the_other() {
    for msr in [PLATFORM_ID, FEATURE_CONTROL, MISC_ENABLE, PERF_CTL, THERM_STATUS, 0x186] {
        assert_ne!(read_of(msr, Vendor::Intel), Read::Fault, "{msr:#x}");
        assert_eq!(read_of(msr, Vendor::Amd), Read::Fault, "{msr:#x}");
    }
    for msr in [AMD_HWCR, AMD_DE_CFG, AMD_NB_CFG, 0xc001_0061, 0xc001_0000] {
        assert_ne!(read_of(msr, Vendor::Amd), Read::Fault, "{msr:#x}");
        assert_eq!(read_of(msr, Vendor::Intel), Read::Fault, "{msr:#x}");
    }
    assert_eq!(
        read_of(MISC_ENABLE, Vendor::Intel),
        Read::Hardware { clear: 1 << 7 | 1 << 18, set: 1 << 11 | 1 << 12 | 1 << 23 }
    );
    assert_eq!(read_of(AMD_DE_CFG, Vendor::Amd), Read::Value(2));
}

#[test]
fn the_memory_map_of_amd_is_for_the_control_domain() {
    let context = MsrContext { vcpu: 0, can_take_fault: true };
    let dom0 = MsrPolicy { is_hardware_domain: true, ..policy(Vendor::Amd) };
    let seen = read(AMD_SYSCFG, &dom0, &MsrState::default(), &context);
    assert_eq!(seen, Read::Hardware { clear: 0, set: 0 });
    assert_eq!(read_of(AMD_SYSCFG, Vendor::Amd), Read::Fault);
}

#[test]
fn unknown_registers_fault_unless_the_guest_could_not_survive_it() {
    let unknown = 0x2ff; // a memory type range register
    let state = MsrState::default();
    let early = MsrContext { vcpu: 0, can_take_fault: false };
    assert_eq!(read_of(unknown, Vendor::Intel), Read::Fault);
    assert_eq!(read(unknown, &policy(Vendor::Amd), &state, &early), Read::ZeroIfPresent);
    let relaxed = MsrPolicy { is_relaxed: true, ..policy(Vendor::Amd) };
    let late = MsrContext { vcpu: 0, can_take_fault: true };
    assert_eq!(read(unknown, &relaxed, &state, &late), Read::ZeroIfPresent);
    let written = write(unknown, 0, &relaxed, &mut MsrState::default());
    assert_eq!(written, Write::IgnoredIfPresent);
    assert_eq!(write_to(unknown, 0, Vendor::Amd), Write::Fault);
    // What has effects on the machine is refused even then.
    for msr in [0x48, 0x79, 0x4e, 0x80b, 0x4000_0001, 0xc000_0082] {
        assert_eq!(read(msr, &relaxed, &state, &early), Read::Fault, "{msr:#x}");
        let written = write(msr, 1, &relaxed, &mut MsrState::default());
        assert_eq!(written, Write::Fault, "{msr:#x}");
    }
}

#[test]
fn segment_bases_must_be_canonical() {
    let vendor = Vendor::Amd;
    let kernel = 0xffff_8880_0000_1000;
    assert_eq!(write_to(FS_BASE, 0x1000, vendor), Write::FsBase(0x1000));
    assert_eq!(write_to(GS_BASE, kernel, vendor), Write::GsBase(kernel));
    assert_eq!(write_to(KERNEL_GS_BASE, 0, vendor), Write::UserGsBase(0));
    for msr in [FS_BASE, GS_BASE, KERNEL_GS_BASE] {
        assert_eq!(write_to(msr, 1 << 47, vendor), Write::Fault);
    }
}

#[test]
fn efer_takes_only_what_it_shows() {
    assert_eq!(write_to(EFER, 0xd01, Vendor::Amd), Write::Done);
    for value in [0, 0xd00, HOST_EFER, 0xd03] {
        assert_eq!(write_to(EFER, value, Vendor::Amd), Write::Fault, "{value:#x}");
    }
}

#[test]
fn the_hypercall_page_is_a_frame_with_index_zero() {
    assert_eq!(
        write_to(0x4000_0000, 0x1234_5000, Vendor::Amd),
        Write::HypercallPage(Mfn::new(0x12345))
    );
    assert_eq!(write_to(0x4000_0000, 0x1234_5001, Vendor::Amd), Write::Fault);
    assert_eq!(write_to(0x4000_0001, 0x1234_5000, Vendor::Amd), Write::Fault);
}

#[test]
fn the_processor_number_is_state_of_32_bits_where_it_is_offered() {
    let mut state = MsrState::default();
    let with = policy(Vendor::Amd);
    let context = MsrContext { vcpu: 0, can_take_fault: true };
    assert_eq!(write(TSC_AUX, 7, &with, &mut state), Write::TscAux(7));
    assert_eq!(read(TSC_AUX, &with, &state, &context), Read::Value(7));
    assert_eq!(write(TSC_AUX, 1 << 32, &with, &mut state), Write::Fault);
    assert_eq!(state.tsc_aux, 7);
    let without = MsrPolicy { has_tsc_aux: false, ..with };
    assert_eq!(read(TSC_AUX, &without, &state, &context), Read::Fault);
    assert_eq!(write(TSC_AUX, 7, &without, &mut state), Write::Fault);
}

#[test]
fn writes_without_meaning_are_ignored_and_dangerous_ones_fault() {
    for msr in [MISC_ENABLE, PERF_CTL, THERM_CONTROL, ENERGY_PERF_BIAS, APERF] {
        assert_eq!(write_to(msr, 5, Vendor::Intel), Write::Done, "{msr:#x}");
    }
    for msr in [AMD_HWCR, AMD_DE_CFG, AMD_NB_CFG, 0xc001_0062] {
        assert_eq!(write_to(msr, 5, Vendor::Amd), Write::Done, "{msr:#x}");
    }
    assert_eq!(write_to(MICROCODE_LEVEL, 0, Vendor::Intel), Write::Done);
    assert_eq!(write_to(MICROCODE_LEVEL, 1, Vendor::Intel), Write::Fault);
    for msr in [PAT, TSC, APIC_BASE, 0x2ff, 0xc000_0081, 0x174, 0x79, 0xc001_0020, SPEC_CTRL] {
        for vendor in [Vendor::Intel, Vendor::Amd] {
            assert_eq!(write_to(msr, 5, vendor), Write::Fault, "{msr:#x}");
        }
    }
}

proptest! {
    /// The real registers that a guest can learn something of are a short, fixed list.
    #[test]
    fn only_listed_registers_are_read_from_the_processor(
        msr in prop_oneof![
            0_u32..0x1000, 0x4000_0000_u32..0x4000_0200, 0xc000_0000_u32..0xc000_0200,
            0xc001_0000_u32..0xc001_2000, any::<u32>()],
        is_dom0 in any::<bool>(),
        is_relaxed in any::<bool>(),
        can_take_fault in any::<bool>(),
        vendor in prop::sample::select(vec![Vendor::Intel, Vendor::Amd, Vendor::Other]),
    ) {
        let policy = MsrPolicy { is_hardware_domain: is_dom0, is_relaxed, ..policy(vendor) };
        let context = MsrContext { vcpu: 0, can_take_fault };
        if let Read::Hardware { .. } = read(msr, &policy, &MsrState::default(), &context) {
            let for_all = [MICROCODE_LEVEL, PLATFORM_ID, MISC_ENABLE].contains(&msr);
            let is_base = [FS_BASE, GS_BASE, KERNEL_GS_BASE].contains(&msr);
            prop_assert!(is_base || for_all || is_dom0 && is_amd_memory_map(msr), "{:#x}", msr);
        }
    }
}
