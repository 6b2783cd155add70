//! `cpuid` for guests: the forced-emulation prefix, the faulting instruction, the toolstack.
//!
//! Two policies are made at boot: one for the control domain, one for all others.

use hv_core::cpuid::{Leaf, Policy, PolicyOptions, QueryContext, TimeInfo, Via, XenInfo};
use hv_core::emul::cr::CR4_OSXSAVE;
use hv_core::emul::forced::{recognise, Forced, CPUID_LEN};
use hv_core::trap::Mode;
use hv_machine::sync::Once;
use hv_machine::{cpu, frames, time, GuestRegs};
use hypercall_abi::version::XEN_4_17;

use super::{fetch, privop};
use crate::counters::{self, bump};
use crate::current::Here;
use crate::upcall;

/// XCR0 of a guest that has never set it: x87 and SSE.
pub const DEFAULT_XCR0: u64 = 3;

static DOM0: Once<Policy> = Once::new();
static DOMU: Once<Policy> = Once::new();

/// The policy of a kind of domain.
pub fn policy(privileged: bool) -> &'static Policy {
    let slot = if privileged { &DOM0 } else { &DOMU };
    slot.call_once(|| {
        let options = PolicyOptions {
            is_hardware_domain: privileged,
            shows_invariant_tsc: false,
            switched_xstates: cpu::host_xcr0(),
        };
        Policy::new(cpu::cpuid, &options)
    })
}

fn xen_info() -> XenInfo {
    XenInfo {
        major: (XEN_4_17 >> 16) as u16,
        minor: XEN_4_17 as u16,
        machine_address_bits: machine_address_bits(),
    }
}

/// Bits of the highest machine address of RAM: with it guests decide whether grants of version 1 can
/// hold every frame number.
fn machine_address_bits() -> u8 {
    const PAGE_SHIFT: u32 = 12;
    let last_frame = frames::max_mfn().saturating_sub(1);
    (u64::BITS - last_frame.leading_zeros() + PAGE_SHIFT) as u8
}

/// The counter runs as it is for everyone. A toolstack that sets a domain's time makes it the
/// first incarnation of that time; nobody does so for the control domain.
fn time_info(privileged: bool) -> TimeInfo {
    let scale = time::tsc_scale();
    TimeInfo {
        incarnation: u32::from(!privileged),
        guest_khz: scale.khz as u32,
        host_khz: scale.khz as u32,
        mul: scale.mul,
        shift: scale.shift,
        ..TimeInfo::default()
    }
}

/// The state components a guest may enable.
pub fn offered_xcr0() -> u64 {
    policy(false).offered_xcr0()
}

/// What `cpuid` with these inputs gives the running guest.
fn query(here: &Here, leaf: u32, subleaf: u32, via: Via) -> Leaf {
    let (cr4, xcr0) = {
        let state = here.vcpu().state.lock();
        (state.cr4, if state.xcr0 == 0 { DEFAULT_XCR0 } else { state.xcr0 })
    };
    let context = QueryContext {
        mode: upcall::mode(),
        via,
        guest_osxsave: cr4 & CR4_OSXSAVE != 0,
        hypervisor_osxsave: cpu::host_cr4() & CR4_OSXSAVE != 0,
        xcr0,
        xen: &xen_info(),
        time: &time_info(here.dom().privileged),
    };
    policy(here.dom().privileged).query(leaf, subleaf, &context)
}

/// Carries out `cpuid` on the registers.
pub fn execute(here: &Here, regs: &mut GuestRegs, via: Via) {
    let [a, b, c, d] = query(here, regs.rax as u32, regs.rcx as u32, via);
    regs.rax = u64::from(a);
    regs.rbx = u64::from(b);
    regs.rcx = u64::from(c);
    regs.rdx = u64::from(d);
}

/// Carries out the prefixed form; false when something else stands at rip.
pub fn forced(here: &Here, regs: &mut GuestRegs) -> bool {
    if recognise(&fetch(regs)) != Forced::Cpuid {
        return false;
    }
    execute(here, regs, Via::Prefix);
    bump(&counters::here().emulated);
    privop::advance(here, regs, CPUID_LEN as u64);
    true
}

/// Leaves with subleaves, and how many of them a policy lists.
const SUBLEAVES: [(u32, u32); 3] = [(4, 8), (7, 3), (0xd, 3)];
/// Basic leaves a policy lists.
const BASIC: u32 = 0xe;
/// Extended leaves a policy lists.
const EXTENDED: core::ops::Range<u32> = 0x8000_0000..0x8000_0022;

/// All leaves of the policy of ordinary domains, with their subleaf where there is one.
pub fn policy_leaves() -> impl Iterator<Item = (u32, Option<u32>, Leaf)> {
    let plain = (0..BASIC)
        .filter(|leaf| SUBLEAVES.iter().all(|(other, _)| other != leaf))
        .chain(EXTENDED)
        .map(|leaf| (leaf, None));
    let with_subleaf = SUBLEAVES
        .into_iter()
        .flat_map(|(leaf, count)| (0..count).map(move |subleaf| (leaf, Some(subleaf))));
    plain.chain(with_subleaf).map(|(leaf, subleaf)| (leaf, subleaf, bare(leaf, subleaf.unwrap_or(0))))
}

/// An answer that depends on no vCPU.
fn bare(leaf: u32, subleaf: u32) -> Leaf {
    let context = QueryContext {
        mode: Mode::User,
        via: Via::Fault,
        guest_osxsave: false,
        hypervisor_osxsave: false,
        xcr0: DEFAULT_XCR0,
        xen: &xen_info(),
        time: &time_info(false),
    };
    policy(false).query(leaf, subleaf, &context)
}

/// The words of a feature set, in the order of the public `cpufeatureset.h`.
pub fn feature_words() -> [u32; 14] {
    let [_, _, ecx1, edx1] = bare(1, 0);
    let [_, _, ext_ecx, ext_edx] = bare(0x8000_0001, 0);
    let [_, ebx7, ecx7, edx7] = bare(7, 0);
    let [eax7_1, ..] = bare(7, 1);
    let [.., edx7_2] = bare(7, 2);
    let [eax_d1, ..] = bare(0xd, 1);
    let [.., power] = bare(0x8000_0007, 0);
    let [_, ext8, ..] = bare(0x8000_0008, 0);
    let [ext21, ..] = bare(0x8000_0021, 0);
    [
        edx1, ecx1, ext_edx, ext_ecx, eax_d1, ebx7, ecx7, power, ext8, edx7, eax7_1, ext21, 0,
        edx7_2,
    ]
}
