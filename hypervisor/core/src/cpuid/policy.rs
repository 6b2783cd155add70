//! The policy of a kind of domain: the processor's leaves, reduced once, and asked often.
//!
//! `Policy::new` runs at boot, `Policy::query` on every emulated CPUID.
//!
//! Invariants: a feature is shown only if the processor has it, it stands in a list of `features`,
//! and the states it needs are offered; leaves that are not listed in `reduce_*` are zero.

use super::features::{self as f, mask};
use super::xen_leaves::{self, TimeInfo, XenInfo};
use super::xstate::Xstate;
use super::Leaf;
use crate::emul::cr::{Cr4Policy, XCR0_AVX, XCR0_AVX512};
use crate::trap::Mode;

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

/// What distinguishes the policies of one machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PolicyOptions {
    /// Whether the policy is the control domain's.
    pub is_hardware_domain: bool,
    /// Whether the counter's frequency is fixed for the life of the domain.
    pub shows_invariant_tsc: bool,
    /// State components (bits of XCR0) the hypervisor switches; 0 hides XSAVE and all that needs it.
    pub switched_xstates: u64,
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
pub struct QueryContext<'a> {
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
    /// About the hypervisor.
    pub xen: &'a XenInfo,
    /// About the domain's time.
    pub time: &'a TimeInfo,
}

/// Everything a kind of domain is told about its processor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    vendor: Vendor,
    is_hardware_domain: bool,
    host_has_monitor: bool,
    monitor_leaf: Leaf,
    basic: [Leaf; NR_BASIC],
    cache: [Leaf; NR_CACHE],
    feature: [Leaf; NR_FEATURE],
    extended: [Leaf; NR_EXTENDED],
    xstate: Xstate,
}

impl Policy {
    /// Reduces the leaves of the processor, which `host` reads by leaf and subleaf.
    #[must_use]
    pub fn new(host: impl Fn(u32, u32) -> Leaf, options: &PolicyOptions) -> Self {
        let vendor = Vendor::from_leaf_0(host(0, 0));
        let xstate_features = host(0xd, 1)[0] & mask(f::XSTATE_1_EAX);
        let [_, _, host_ecx, _] = host(1, 0);
        let switched = if host_ecx & f::XSAVE != 0 { options.switched_xstates } else { 0 };
        let mut policy = Self {
            vendor,
            is_hardware_domain: options.is_hardware_domain,
            host_has_monitor: host_ecx & f::MONITOR != 0,
            monitor_leaf: host(5, 0),
            basic: [[0; 4]; NR_BASIC],
            cache: [[0; 4]; NR_CACHE],
            feature: [[0; 4]; NR_FEATURE],
            extended: [[0; 4]; NR_EXTENDED],
            xstate: Xstate::new(&host, switched, xstate_features),
        };
        policy.reduce_basic(&host);
        policy.reduce_features(&host);
        policy.reduce_extended(&host, options.shows_invariant_tsc);
        policy.hide_dependents();
        policy
    }

    fn reduce_basic(&mut self, host: &impl Fn(u32, u32) -> Leaf) {
        let [max, ebx, ecx, edx] = host(0, 0);
        let max = max.min(NR_BASIC as u32 - 1);
        let [signature, misc, host_ecx, host_edx] = host(1, 0);
        let mut features_ecx = host_ecx & mask(f::LEAF_1_ECX) | f::HYPERVISOR;
        let mut features_edx = host_edx & mask(f::LEAF_1_EDX);
        if self.is_hardware_domain {
            features_ecx |= host_ecx & f::EIST;
            features_edx |= host_edx & f::MTRR;
        }
        // The number of the local APIC belongs to the machine.
        let leaf_1 = [signature, misc & 0x00ff_ffff, features_ecx, features_edx];
        let is_intel = self.vendor == Vendor::Intel;
        let leaf_2 = if is_intel { host(2, 0) } else { [0; 4] };
        for (slot, leaf) in self.basic.iter_mut().zip([[max, ebx, ecx, edx], leaf_1, leaf_2]) {
            *slot = leaf;
        }
        if is_intel && max >= 4 {
            for (subleaf, slot) in (0..).zip(&mut self.cache) {
                // Who shares a cache depends on vCPU placement, so nobody is said to.
                let [eax, ebx, ecx, edx] = host(4, subleaf);
                *slot = if eax & 31 == 0 { [0; 4] } else { [eax & 0x3ff, ebx, ecx, edx & 7] };
            }
        }
    }

    fn reduce_features(&mut self, host: &impl Fn(u32, u32) -> Leaf) {
        if self.max_basic() < 7 {
            return;
        }
        let [max, ebx, ecx, edx] = host(7, 0);
        let max = max.min(NR_FEATURE as u32 - 1);
        let subleaf = |number| if number <= max { host(7, number) } else { [0; 4] };
        let eax_1 = subleaf(1)[0] & mask(f::LEAF_7_1_EAX);
        let edx_2 = subleaf(2)[3] & mask(f::LEAF_7_2_EDX);
        self.feature = [
            [max, ebx & mask(f::LEAF_7_EBX), ecx & mask(f::LEAF_7_ECX), edx & mask(f::LEAF_7_EDX)],
            [eax_1, 0, 0, 0],
            [0, 0, 0, edx_2],
        ];
    }

    fn reduce_extended(&mut self, host: &impl Fn(u32, u32) -> Leaf, shows_invariant_tsc: bool) {
        let host_max = host(EXTENDED, 0)[0];
        if host_max & 0xffff_0000 != EXTENDED {
            return;
        }
        let is_amd = self.vendor == Vendor::Amd;
        let limit = if is_amd { NR_EXTENDED as u32 - 1 } else { 8 };
        let max = (host_max - EXTENDED).min(limit);
        let leaf_1_edx = self.basic[1][3];
        for (number, slot) in (0..=max).zip(&mut self.extended) {
            let [eax, ebx, ecx, edx] = host(EXTENDED + number, 0);
            *slot = match number {
                0 => [EXTENDED + max, ebx, ecx, edx],
                1 => {
                    let repeated = if is_amd { leaf_1_edx & f::COMMON_EDX } else { 0 };
                    let edx = edx & mask(f::EXTENDED_1_EDX) | repeated;
                    [if is_amd { eax } else { 0 }, 0, ecx & mask(f::EXTENDED_1_ECX), edx]
                }
                2..=4 => [eax, ebx, ecx, edx],
                5 if is_amd => [eax, ebx, ecx, edx],
                6 if is_amd => [eax, ebx, ecx, edx],
                6 => [0, 0, ecx, 0],
                7 if shows_invariant_tsc => [0, 0, 0, edx & mask(f::EXTENDED_7_EDX)],
                8 => [eax & 0xffff, ebx & mask(f::EXTENDED_8_EBX), ecx & 0x0003_f0ff, 0],
                0x19 | 0x1a => [eax, ebx, ecx, edx],
                0x21 => [eax & mask(f::EXTENDED_21_EAX), 0, ecx & mask(f::EXTENDED_21_ECX), 0],
                _ => [0; 4],
            };
        }
    }

    /// Takes features away whose state is not offered.
    fn hide_dependents(&mut self) {
        let offered = self.xstate.offered();
        let [_, leaf_1, ..] = &mut self.basic;
        let [_, extended_1, ..] = &mut self.extended;
        let [feature_0, feature_1, _] = &mut self.feature;
        if offered == 0 {
            leaf_1[2] &= !f::XSAVE;
        }
        if offered & XCR0_AVX == 0 {
            leaf_1[2] &= !f::AVX_LEAF_1_ECX;
            extended_1[2] &= !f::AVX_EXTENDED_1_ECX;
            let (ebx, ecx, eax_1) = f::AVX_LEAF_7;
            feature_0[1] &= !ebx;
            feature_0[2] &= !ecx;
            feature_1[0] &= !eax_1;
        }
        if offered & XCR0_AVX512 != XCR0_AVX512 {
            let (ebx, ecx, edx, eax_1) = f::AVX512_LEAF_7;
            feature_0[1] &= !ebx;
            feature_0[2] &= !ecx;
            feature_0[3] &= !edx;
            feature_1[0] &= !eax_1;
        }
    }

    /// What CPUID with this leaf (eax) and subleaf (ecx) gives a guest.
    #[must_use]
    pub fn query(&self, leaf: u32, subleaf: u32, context: &QueryContext<'_>) -> Leaf {
        if leaf & 0xffff_ff00 == XEN {
            return xen_leaves::query(leaf, subleaf, context.xen, context.time);
        }
        if let Some(number) = leaf.checked_sub(EXTENDED) {
            return sub(&self.extended, number);
        }
        if leaf > self.max_basic() {
            return [0; 4];
        }
        match leaf {
            1 => self.leaf_1(context),
            4 => sub(&self.cache, subleaf),
            5 if self.shows_monitor(context) => self.monitor_leaf,
            7 => sub(&self.feature, subleaf),
            0xd => self.xstate.leaf(subleaf, context.xcr0),
            _ => sub(&self.basic, leaf),
        }
    }

    fn leaf_1(&self, context: &QueryContext<'_>) -> Leaf {
        let [eax, ebx, mut ecx, edx] = self.basic[1];
        // A kernel that asks through the prefix is shown the real bit, too: Linux looks there to
        // find out whether it may use XSAVE, before it has set the bit itself.
        let leaks = context.via == Via::Prefix
            && context.mode == Mode::Kernel
            && context.hypervisor_osxsave;
        if self.has_xsave() && (context.guest_osxsave || leaks) {
            ecx |= f::OSXSAVE;
        }
        if self.shows_monitor(context) {
            ecx |= f::MONITOR;
        }
        [eax, ebx, ecx, edx]
    }

    /// A control domain that asks with a faulting CPUID wants to know about idle states.
    fn shows_monitor(&self, context: &QueryContext<'_>) -> bool {
        self.is_hardware_domain
            && self.host_has_monitor
            && context.mode == Mode::Kernel
            && context.via == Via::Fault
    }

    fn max_basic(&self) -> u32 {
        self.basic[0][0]
    }

    /// Who made the processor.
    #[must_use]
    pub fn vendor(&self) -> Vendor {
        self.vendor
    }

    /// Family of the processor, with its extension.
    #[must_use]
    pub fn family(&self) -> u32 {
        let signature = self.basic[1][0];
        match signature >> 8 & 0xf {
            0xf => 0xf + (signature >> 20 & 0xff),
            family => family,
        }
    }

    /// Whether XSAVE is offered.
    #[must_use]
    pub fn has_xsave(&self) -> bool {
        self.basic[1][2] & f::XSAVE != 0
    }

    /// Whether pages can be made not executable.
    #[must_use]
    pub fn has_nx(&self) -> bool {
        self.extended[1][3] & f::NX != 0
    }

    /// Whether the processor number can be read with the counter.
    #[must_use]
    pub fn has_tsc_aux(&self) -> bool {
        self.extended[1][3] & f::RDTSCP != 0 || self.feature[0][2] & f::RDPID != 0
    }

    /// The state components a guest may enable.
    #[must_use]
    pub fn offered_xcr0(&self) -> u64 {
        self.xstate.offered()
    }

    /// The bits of CR4 the features allow a guest to own.
    #[must_use]
    pub fn cr4(&self) -> Cr4Policy {
        let edx = self.basic[1][3];
        let has_fsgsbase = self.feature[0][1] & f::FSGSBASE != 0;
        Cr4Policy::new(edx & f::TSC != 0, edx & f::DE != 0, has_fsgsbase, self.has_xsave())
    }
}

fn sub(leaves: &[Leaf], number: u32) -> Leaf {
    let number = usize::try_from(number).unwrap_or(usize::MAX);
    leaves.get(number).copied().unwrap_or([0; 4])
}
