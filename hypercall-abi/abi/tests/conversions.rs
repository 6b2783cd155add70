//! The conversions of the crate against slow models of what they should compute.

use hypercall_abi::addr::{self, guest_range};
use hypercall_abi::domctl::{self, CreateDomain, Dominf, GetDomainInfo, XenDomctl};
use hypercall_abi::memory::E820Entry;
use hypercall_abi::mmu::{pte, ForeignDom, MmuUpdate};
use hypercall_abi::shared_info::VcpuTimeInfo;
use hypercall_abi::start_info::StartInfo;
use hypercall_abi::{DomId, Errno, GuestVa, Mfn, Virq};
use proptest::prelude::*;
use zerocopy::{FromBytes, IntoBytes};

/// Addresses near every border of the address space, and any others.
fn any_address() -> impl Strategy<Value = u64> {
    let borders = prop::sample::select(vec![
        0,
        addr::GUEST_LOW_END,
        addr::HYPERVISOR_VIRT_START,
        addr::HYPERVISOR_VIRT_END,
        u64::MAX,
    ]);
    let near = (borders, -20_i64..20).prop_map(|(at, by)| at.wrapping_add_signed(by));
    prop_oneof![near, any::<u64>()]
}

proptest! {
    #[test]
    fn a_guest_range_is_good_when_every_byte_of_it_is(start in any_address(), len in 0_u64..40) {
        let every_byte = (0..len.max(1)).all(|index| {
            start.checked_add(index).is_some_and(|va| GuestVa::new(va).is_guest_accessible())
        });
        prop_assert_eq!(guest_range(GuestVa::new(start), len), every_byte);
    }

    #[test]
    fn a_long_guest_range_never_covers_the_hole(start in any_address(), len in any_address()) {
        if guest_range(GuestVa::new(start), len) {
            let last = start + len.saturating_sub(1);
            prop_assert!(last < addr::GUEST_LOW_END || start >= addr::HYPERVISOR_VIRT_END);
        }
    }

    #[test]
    fn canonical_means_sign_extended_from_bit_47(va in any_address()) {
        let extended = ((va << 16) as i64 >> 16) as u64;
        prop_assert_eq!(GuestVa::new(va).is_canonical(), extended == va);
    }

    #[test]
    fn an_element_address_never_wraps(base in any_address(), index: u64, size in 1_u64..64) {
        let exact = u128::from(base) + u128::from(index) * u128::from(size);
        let got = GuestVa::new(base).element(index, size).map(|va| u128::from(va.get()));
        prop_assert_eq!(got, (exact <= u128::from(u64::MAX)).then_some(exact));
    }

    #[test]
    fn a_return_value_is_an_error_exactly_when_negative(ret: i64) {
        match Errno::check(ret) {
            Ok(value) => prop_assert_eq!(value as i64, ret),
            Err(errno) => {
                prop_assert!(ret < 0);
                prop_assert!(errno.to_ret() == ret || errno == Errno::EINVAL);
            }
        }
    }

    #[test]
    fn a_request_keeps_command_and_address_apart(cmd in 0_u64..8, maddr: u64, val: u64) {
        let update = MmuUpdate::new(cmd, maddr, val);
        prop_assert_eq!(update.cmd(), cmd);
        prop_assert_eq!(update.maddr(), maddr & !7);
    }

    #[test]
    fn foreigndom_survives_both_ways(raw: u32) {
        prop_assert_eq!(ForeignDom::from_raw(raw).to_raw(), raw);
    }

    #[test]
    fn a_table_entry_keeps_frame_and_flags_apart(frame in 0_u64..1 << 40, flags: u64) {
        let flags = flags & !pte::FRAME_MASK;
        let entry = pte::make(Mfn::new(frame), flags);
        prop_assert_eq!(pte::mfn(entry), Mfn::new(frame));
        prop_assert_eq!(entry & !pte::FRAME_MASK, flags);
    }

    #[test]
    fn table_indices_rebuild_the_address(va: u64) {
        let rebuilt = (1..=4).fold(0, |sum, level| {
            sum | (pte::index(va, level) as u64) << (12 + 9 * (level - 1))
        });
        prop_assert_eq!(rebuilt, va & 0x0000_ffff_ffff_f000);
    }

    #[test]
    fn a_memory_map_entry_keeps_64_bits(start: u64, bytes: u64, kind: u32) {
        let entry = E820Entry::new(start, bytes, kind);
        prop_assert_eq!((entry.start(), entry.bytes(), entry.kind), (start, bytes, kind));
        prop_assert_eq!(entry.as_bytes().len(), 20);
        prop_assert_eq!(&entry.as_bytes()[8..16], bytes.as_bytes());
    }

    #[test]
    fn system_time_is_exact_for_every_scale(
        tsc_timestamp: u64, elapsed in 0_u64..1 << 40, base: u64, mul: u32, shift in -31_i8..24,
    ) {
        let time = VcpuTimeInfo {
            tsc_timestamp,
            system_time_ns: base,
            tsc_to_system_mul: mul,
            tsc_shift: shift,
            ..VcpuTimeInfo::default()
        };
        let ticks = u128::from(elapsed);
        let ticks = if shift >= 0 { ticks << shift } else { ticks >> -shift };
        let model = (ticks * u128::from(mul)) >> 32;
        let got = time.system_time_at(tsc_timestamp.wrapping_add(elapsed));
        prop_assert_eq!(got, base.wrapping_add(model as u64));
    }

    #[test]
    fn system_time_is_defined_for_any_hostile_parameters(bytes: [u8; 32], tsc: u64) {
        let time = VcpuTimeInfo::read_from_bytes(&bytes).expect("the size is right");
        let elapsed = u128::from(tsc.wrapping_sub(time.tsc_timestamp));
        let ticks = match u32::try_from(time.tsc_shift) {
            Ok(left) => elapsed << left,
            Err(_) => elapsed.checked_shr(time.tsc_shift.unsigned_abs().into()).unwrap_or(0),
        };
        let model = (u128::from(ticks as u64) * u128::from(time.tsc_to_system_mul)) >> 32;
        let expected = time.system_time_ns.wrapping_add(model as u64);
        prop_assert_eq!(time.system_time_at(tsc), expected);
    }

    #[test]
    fn a_payload_comes_back_and_leaves_the_rest_alone(ssidref: u32, max_vcpus: u32) {
        let create = CreateDomain { ssidref, max_vcpus, ..CreateDomain::default() };
        let mut op = XenDomctl::new(domctl::cmd::CREATEDOMAIN, DomId::new(7));
        op.set_payload(&[0xa5_u8; 128]);
        op.set_payload(&create);
        prop_assert_eq!(op.payload::<CreateDomain>(), create);
        prop_assert!(op.as_bytes()[16 + size_of::<CreateDomain>()..].iter().all(|b| *b == 0xa5));
        prop_assert_eq!(op.as_bytes().len(), 144);
    }

    #[test]
    fn a_shutdown_reason_comes_back(reason in 0_u32..256, other: u32) {
        let flags = Dominf::from_bits_retain(other).with_shutdown_reason(reason);
        prop_assert_eq!(flags.shutdown_reason(), Some(reason));
        let kept = !(0xff << 16 | Dominf::SHUTDOWN.bits());
        prop_assert_eq!(flags.bits() & kept, other & kept);
    }

    #[test]
    fn a_command_line_ends_at_the_first_zero(text in prop::collection::vec(any::<u8>(), 0..1024)) {
        let mut info = StartInfo::default();
        info.cmd_line[..text.len()].copy_from_slice(&text);
        let end = text.iter().position(|byte| *byte == 0).unwrap_or(text.len());
        prop_assert_eq!(info.cmd_line(), &text[..end]);
    }
}

#[test]
fn every_error_has_one_number_and_one_name() {
    for errno in Errno::ALL {
        assert_eq!(Errno::from_ret(errno.to_ret()), Some(*errno));
        assert_eq!(Errno::from_name(errno.name()), Some(*errno));
    }
    assert_eq!(Errno::from_ret(0), None);
    assert_eq!(Errno::from_ret(i64::MIN), None);
    assert_eq!(Errno::ENOSYS.to_ret(), -38);
}

#[test]
fn a_range_may_reach_the_top_of_the_address_space_but_not_pass_it() {
    assert!(guest_range(GuestVa::new(u64::MAX - 7), 8));
    assert!(!guest_range(GuestVa::new(u64::MAX - 7), 9));
    assert!(guest_range(GuestVa::new(addr::GUEST_LOW_END - 8), 8));
    assert!(!guest_range(GuestVa::new(addr::GUEST_LOW_END - 8), 9));
}

#[test]
fn virtual_interrupts_are_per_vcpu_or_global_or_per_domain() {
    for raw in 0..64 {
        let virq = Virq::new(raw);
        assert!(!(virq.is_per_vcpu() && virq.is_global()), "{raw}");
    }
    assert!(Virq::TIMER.is_per_vcpu());
    assert!(Virq::DOM_EXC.is_global());
    assert!(Virq::new(23).is_global());
    assert!(!Virq::new(24).is_global());
}

#[test]
fn the_sizes_the_toolstack_relies_on() {
    assert_eq!(size_of::<StartInfo>(), 1168);
    assert_eq!(size_of::<GetDomainInfo>(), 112);
    assert_eq!(size_of::<XenDomctl>(), 144);
    assert_eq!(size_of::<hypercall_abi::sysctl::XenSysctl>(), 136);
    assert_eq!(size_of::<hypercall_abi::regs::VcpuGuestContext>(), 5168);
    assert_eq!(size_of::<hypercall_abi::shared_info::SharedInfo>(), 3136);
}
