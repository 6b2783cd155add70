//! `cpuid` for guests: the forced-emulation prefix, the faulting instruction, the toolstack.
//!
//! Two policies are made at boot: one for the control domain, one for all others.

use hv_core::cpuid::{Leaf, Policy, QueryContext, Via, XenInfo};
use hv_core::emul::code::FORCED_CPUID;
use hv_core::emul::cr::CR4_OSXSAVE;
use hv_core::trap::Mode;
use hv_machine::sync::Once;
use hv_machine::{cpu, frames, time, GuestRegs};
use hypercall_abi::addr::PAGE_SHIFT;
use hypercall_abi::cpuid::FIRST_LEAF;
use hypercall_abi::xen::{XenCpuidLeaf, CPUID_NO_SUBLEAF};

use super::{fetch, is_64_bit, privop};
use crate::counters::bump;
use crate::current::Here;
use crate::guestmem;

/// XCR0 of a guest that has never set it: x87 and SSE.
pub const DEFAULT_XCR0: u64 = 3;

static DOM0: Once<Policy> = Once::new();
static DOMU: Once<Policy> = Once::new();

/// The policy of a kind of domain.
pub fn policy(privileged: bool) -> &'static Policy {
    let slot = if privileged { &DOM0 } else { &DOMU };
    slot.call_once(|| Policy::new(cpu::cpuid, privileged, cpu::host_xcr0()))
}

/// Guests learn from the width of machine addresses whether grants of version 1 can hold every
/// frame number, so it is that of the RAM there is. A toolstack that sets a domain's time makes it
/// the first incarnation of that time; nobody does so for the control domain.
fn xen_info(privileged: bool) -> XenInfo {
    let last_frame = frames::max_mfn().saturating_sub(1);
    let scale = time::tsc_scale();
    XenInfo {
        machine_address_bits: (u64::BITS - last_frame.leading_zeros() + PAGE_SHIFT) as u8,
        incarnation: u32::from(!privileged),
        khz: scale.khz,
        mul: scale.mul,
        shift: scale.shift,
    }
}

/// What `cpuid` gives a domain of this kind: the answer depends on how it is asked, and on what the
/// vCPU has enabled.
#[inline(always)]
fn query(privileged: bool, at: (u32, u32), how: (Mode, Via), cr4: u64, xcr0: u64) -> Leaf {
    let context = QueryContext {
        mode: how.0,
        via: how.1,
        guest_osxsave: cr4 & CR4_OSXSAVE != 0,
        hypervisor_osxsave: cpu::features().host_cr4 & CR4_OSXSAVE != 0,
        xcr0,
        // Only the hypervisor's own leaves tell of this.
        xen: match at.0 >> 16 == FIRST_LEAF >> 16 {
            true => xen_info(privileged),
            false => XenInfo::default(),
        },
    };
    policy(privileged).query(at.0, at.1, &context)
}

/// Carries out `cpuid` on the registers.
#[inline(always)]
pub fn execute(here: &Here, regs: &mut GuestRegs, via: Via) {
    let at = (regs.rax as u32, regs.rcx as u32);
    let (is_kernel, cr4, xcr0) = {
        let state = here.vcpu().state.lock();
        (state.kernel_mode, state.cr4, state.xcr0)
    };
    let mode = if is_kernel { Mode::Kernel } else { Mode::User };
    let leaf = query(here.dom().privileged, at, (mode, via), cr4, xcr0);
    let [a, b, c, d] = leaf.map(u64::from);
    (regs.rax, regs.rbx, regs.rcx, regs.rdx) = (a, b, c, d);
}

/// Whether the prefixed form may stand at rip: most that is not it shows by its first four bytes.
#[inline(always)]
pub fn may_be_forced(regs: &GuestRegs) -> bool {
    let [a, b, c, d, ..] = FORCED_CPUID;
    guestmem::read(regs.rip).is_ok_and(|start: u32| start == u32::from_le_bytes([a, b, c, d]))
}

/// Carries out the prefixed form; false when something else stands at rip.
pub fn forced(here: &Here, regs: &mut GuestRegs) -> bool {
    let [a, b, c, d, e, f, g] = FORCED_CPUID;
    let prefixed = u64::from_le_bytes([0, a, b, c, d, e, f, g]);
    // One word holds all of it; at the end of a page perhaps less can be read.
    let is_forced = match guestmem::read::<u64>(regs.rip) {
        Ok(word) => word << 8 == prefixed && is_64_bit(regs),
        Err(_) => fetch(regs).is_forced_cpuid(),
    };
    if !is_forced {
        return false;
    }
    execute(here, regs, Via::Prefix);
    bump(&here.counters().emulated);
    privop::advance(here, regs, FORCED_CPUID.len() as u64, false);
    true
}

/// Leaves with subleaves, and how many of them a policy lists.
const SUBLEAVES: [(u32, u32); 3] = [(4, 8), (7, 3), (0xd, 3)];
/// Basic leaves a policy lists.
const BASIC: u32 = 0xe;
/// Extended leaves a policy lists.
const EXTENDED: core::ops::Range<u32> = 0x8000_0000..0x8000_0022;

/// All leaves of the policy of ordinary domains.
pub fn policy_leaves() -> impl Iterator<Item = XenCpuidLeaf> {
    let plain = (0..BASIC)
        .filter(|leaf| SUBLEAVES.iter().all(|(other, _)| other != leaf))
        .chain(EXTENDED)
        .map(|leaf| (leaf, CPUID_NO_SUBLEAF));
    let with_subleaf = SUBLEAVES
        .into_iter()
        .flat_map(|(leaf, count)| (0..count).map(move |subleaf| (leaf, subleaf)));
    plain.chain(with_subleaf).map(|(leaf, subleaf)| {
        let [a, b, c, d] = bare(leaf, subleaf);
        XenCpuidLeaf { leaf, subleaf, a, b, c, d }
    })
}

/// An answer that depends on no vCPU.
fn bare(leaf: u32, subleaf: u32) -> Leaf {
    query(false, (leaf, subleaf), (Mode::User, Via::Fault), 0, DEFAULT_XCR0)
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
    [edx1, ecx1, ext_edx, ext_ecx, eax_d1, ebx7, ecx7, power, ext8, edx7, eax7_1, ext21, 0, edx7_2]
}
