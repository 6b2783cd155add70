//! The policy of a kind of domain: the processor's leaves, reduced once, and asked often.
//!
//! `Policy::new` runs at boot, `Policy::query` on every emulated CPUID.
//!
//! Invariants: a feature is shown only if the processor has it, it stands in a list of `features`,
//! and the states it needs are offered; leaves that are not listed in `reduce` are zero.

use super::features as f;
use super::xen_leaves::{self, XenInfo};
use super::xstate::Xstate;
use super::Leaf;
use crate::emul::cr::{CR4_DE, CR4_FSGSBASE, CR4_OSXSAVE, CR4_TSD};
use crate::trap::Mode;
use core::array;

/// Number of basic leaves a guest can be shown.
const NR_BASIC: usize = 0xe;
/// Number of subleaves of the leaf about caches.
const NR_CACHE: usize = 8;
/// Number of subleaves of the leaf about structured features.
const NR_FEATURE: usize = 3;
/// Number of extended leaves a guest can be shown.
const NR_EXTENDED: usize = 0x22;
/// First extended leaf.
const EXTENDED: u32 = 0x8000_0000;
/// First of the 256 leaves of the hypervisor interface.
const XEN: u32 = hypercall_abi::cpuid::FIRST_LEAF;

/// Who made the processor, as far as guests are treated differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Vendor {
    /// Intel.
    Intel,
    /// AMD and Hygon.
    Amd,
    /// Everyone else.
    Other,
}

impl Vendor {
    const fn from_leaf_0(leaf: Leaf) -> Self {
        match leaf {
            [_, 0x756e_6547, 0x6c65_746e, 0x4965_6e69] => Self::Intel,
            [_, 0x6874_7541, 0x444d_4163, 0x6974_6e65]
            | [_, 0x6f67_7948, 0x656e_6975, 0x6e65_476e] => Self::Amd,
            _ => Self::Other,
        }
    }
}

/// Which way a CPUID reached the hypervisor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Via {
    /// The forced-emulation prefix.
    Prefix,
    /// A general protection fault.
    Fault,
}

/// What an answer depends on besides the policy.
#[derive(Clone, Copy, Debug)]
pub struct QueryContext {
    /// Mode of the vCPU.
    pub mode: Mode,
    /// Which way the instruction came.
    pub via: Via,
    /// Whether the guest has set its own CR4.OSXSAVE.
    pub guest_osxsave: bool,
    /// Whether the hypervisor has set the real CR4.OSXSAVE.
    pub hypervisor_osxsave: bool,
    /// The XCR0 in effect for the guest.
    pub xcr0: u64,
    /// About the hypervisor and the domain's time.
    pub xen: XenInfo,
}

/// Everything a kind of domain is told about its processor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    vendor: Vendor,
    /// What a control domain can learn about MONITOR, if the processor has it.
    monitor: Option<Leaf>,
    basic: [Leaf; NR_BASIC],
    cache: [Leaf; NR_CACHE],
    feature: [Leaf; NR_FEATURE],
    extended: [Leaf; NR_EXTENDED],
    xstate: Xstate,
}

impl Policy {
    /// Reduces the leaves of the processor, which `host` reads by leaf and subleaf, for the control
    /// domain or for others. `xstates` are the state components (bits of XCR0) the hypervisor
    /// switches; 0 hides XSAVE and all that needs it.
    pub fn new(host: impl Fn(u32, u32) -> Leaf, is_hardware_domain: bool, xstates: u64) -> Self {
        let vendor = Vendor::from_leaf_0(host(0, 0));
        let [_, _, host_ecx, _] = host(1, 0);
        let switched = if host_ecx & f::XSAVE != 0 { xstates } else { 0 };
        let has_monitor = is_hardware_domain && host_ecx & f::MONITOR != 0;
        let mut policy = Self {
            vendor,
            monitor: has_monitor.then(|| host(5, 0)),
            basic: [[0; 4]; NR_BASIC],
            cache: [[0; 4]; NR_CACHE],
            feature: [[0; 4]; NR_FEATURE],
            extended: [[0; 4]; NR_EXTENDED],
            xstate: Xstate::new(&host, switched, host(0xd, 1)[0] & f::XSTATE_1_EAX.shown(0)),
        };
        let reduce = |policy: &Self, leaf, subleaf| {
            policy.reduce(leaf, subleaf, host(leaf, subleaf), is_hardware_domain)
        };
        let max = host(0, 0)[0].min(NR_BASIC as u32 - 1);
        policy.basic = table(max, |leaf| reduce(&policy, leaf, 0));
        policy.basic[0][0] = max;
        if max >= 4 && vendor == Vendor::Intel {
            policy.cache = table(NR_CACHE as u32, |subleaf| reduce(&policy, 4, subleaf));
        }
        if max >= 7 {
            let max = host(7, 0)[0].min(NR_FEATURE as u32 - 1);
            policy.feature = table(max, |subleaf| reduce(&policy, 7, subleaf));
            policy.feature[0][0] = max;
        }
        let host_max = host(EXTENDED, 0)[0];
        if host_max & 0xffff_0000 == EXTENDED {
            let limit = if vendor == Vendor::Amd { NR_EXTENDED as u32 - 1 } else { 8 };
            let max = (host_max - EXTENDED).min(limit);
            policy.extended = table(max, |number| reduce(&policy, EXTENDED + number, 0));
            policy.extended[0][0] = EXTENDED + max;
        }
        policy
    }

    /// What a guest is shown of one of the processor's leaves. The largest leaf and subleaf numbers
    /// are set by the caller.
    fn reduce(
        &self,
        leaf: u32,
        subleaf: u32,
        [eax, ebx, ecx, edx]: Leaf,
        is_hardware_domain: bool,
    ) -> Leaf {
        let xcr0 = self.offered_xcr0();
        let is_amd = self.vendor == Vendor::Amd;
        let for_control_domain = |bits| if is_hardware_domain { bits } else { 0 };
        match (leaf, subleaf) {
            (0, _) => [eax, ebx, ecx, edx],
            (1, _) => {
                let without_xsave = if xcr0 == 0 { !f::XSAVE } else { !0 };
                let shown_ecx = f::LEAF_1_ECX.shown(xcr0) & without_xsave;
                let shown_edx = f::LEAF_1_EDX.shown(xcr0) | for_control_domain(f::MTRR);
                let ecx = ecx & (shown_ecx | for_control_domain(f::EIST)) | f::HYPERVISOR;
                // The number of the local APIC belongs to the machine.
                [eax, ebx & 0x00ff_ffff, ecx, edx & shown_edx]
            }
            (2, _) if self.vendor == Vendor::Intel => [eax, ebx, ecx, edx],
            // Who shares a cache depends on vCPU placement, so nobody is said to.
            (4, _) if eax & 31 != 0 => [eax & 0x3ff, ebx, ecx, edx & 7],
            (7, 0) => [
                eax,
                ebx & f::LEAF_7_EBX.shown(xcr0),
                ecx & f::LEAF_7_ECX.shown(xcr0),
                edx & f::LEAF_7_EDX.shown(xcr0),
            ],
            (7, 1) => [eax & f::LEAF_7_1_EAX.shown(xcr0), 0, 0, 0],
            (7, 2) => [0, 0, 0, edx & f::LEAF_7_2_EDX.shown(xcr0)],
            (0x8000_0001, _) => {
                let repeated = if is_amd { self.basic[1][3] & f::COMMON_EDX } else { 0 };
                let edx = edx & f::EXTENDED_1_EDX.shown(xcr0) | repeated;
                [if is_amd { eax } else { 0 }, 0, ecx & f::EXTENDED_1_ECX.shown(xcr0), edx]
            }
            (0x8000_0000 | 0x8000_0002..=0x8000_0004, _) => [eax, ebx, ecx, edx],
            (0x8000_0005 | 0x8000_0006, _) if is_amd => [eax, ebx, ecx, edx],
            (0x8000_0006, _) => [0, 0, ecx, 0],
            (0x8000_0008, _) => {
                [eax & 0xffff, ebx & f::EXTENDED_8_EBX.shown(xcr0), ecx & 0x0003_f0ff, 0]
            }
            (0x8000_0019 | 0x8000_001a, _) => [eax, ebx, ecx, edx],
            (0x8000_0021, _) => {
                let (eax_shown, ecx_shown) = (f::EXTENDED_21_EAX, f::EXTENDED_21_ECX);
                [eax & eax_shown.shown(xcr0), 0, ecx & ecx_shown.shown(xcr0), 0]
            }
            _ => [0; 4],
        }
    }

    /// What CPUID with this leaf (eax) and subleaf (ecx) gives a guest.
    pub fn query(&self, leaf: u32, subleaf: u32, context: &QueryContext) -> Leaf {
        if leaf & 0xffff_ff00 == XEN {
            return xen_leaves::query(leaf, subleaf, &context.xen);
        }
        match leaf {
            EXTENDED.. => sub(&self.extended, leaf - EXTENDED),
            _ if leaf > self.basic[0][0] => [0; 4],
            1 => self.leaf_1(context),
            4 => sub(&self.cache, subleaf),
            5 => self.monitor_for(context).unwrap_or_default(),
            7 => sub(&self.feature, subleaf),
            0xd => self.xstate.leaf(subleaf, context.xcr0),
            _ => sub(&self.basic, leaf),
        }
    }

    fn leaf_1(&self, context: &QueryContext) -> Leaf {
        let [eax, ebx, mut ecx, edx] = self.basic[1];
        // A kernel that asks through the prefix is shown the real bit, too: Linux looks there to
        // find out whether it may use XSAVE, before it has set the bit itself.
        let leaks = context.via == Via::Prefix
            && context.mode == Mode::Kernel
            && context.hypervisor_osxsave;
        if self.has_xsave() && (context.guest_osxsave || leaks) {
            ecx |= f::OSXSAVE;
        }
        if self.monitor_for(context).is_some() {
            ecx |= f::MONITOR;
        }
        [eax, ebx, ecx, edx]
    }

    /// A control domain that asks with a faulting CPUID wants to know about idle states.
    fn monitor_for(&self, context: &QueryContext) -> Option<Leaf> {
        let is_asked_for = context.mode == Mode::Kernel && context.via == Via::Fault;
        self.monitor.filter(|_| is_asked_for)
    }

    /// Who made the processor.
    pub fn vendor(&self) -> Vendor {
        self.vendor
    }

    /// Family of the processor, with its extension.
    pub fn family(&self) -> u32 {
        let signature = self.basic[1][0];
        match signature >> 8 & 0xf {
            0xf => 0xf + (signature >> 20 & 0xff),
            family => family,
        }
    }

    fn has_xsave(&self) -> bool {
        self.basic[1][2] & f::XSAVE != 0
    }

    /// Whether the processor number can be read with the counter.
    pub fn has_tsc_aux(&self) -> bool {
        self.extended[1][3] & f::RDTSCP != 0 || self.feature[0][2] & f::RDPID != 0
    }

    /// The state components a guest may enable.
    pub fn offered_xcr0(&self) -> u64 {
        self.xstate.offered()
    }

    /// The bits of CR4 the features allow a guest to own.
    pub fn offered_cr4(&self) -> u64 {
        let edx = self.basic[1][3];
        let offered = [
            (CR4_TSD, edx & f::TSC != 0),
            (CR4_DE, edx & f::DE != 0),
            (CR4_FSGSBASE, self.feature[0][1] & f::FSGSBASE != 0),
            (CR4_OSXSAVE, self.has_xsave()),
        ];
        offered.iter().filter(|(_, is_offered)| *is_offered).map(|(bit, _)| bit).sum()
    }
}

/// A table of the leaves 0 to `max`; the others are zero.
fn table<const N: usize>(max: u32, leaf: impl Fn(u32) -> Leaf) -> [Leaf; N] {
    array::from_fn(|number| if number as u32 <= max { leaf(number as u32) } else { [0; 4] })
}

fn sub(leaves: &[Leaf], number: u32) -> Leaf {
    leaves.get(number as usize).copied().unwrap_or_default()
}
