//! RDMSR.

use super::index::*;
use super::{MsrContext, MsrPolicy, MsrState, Read};

/// Decides what a guest kernel reads from a register. User mode never gets here: it faults.
#[inline]
#[must_use]
pub fn read(msr: u32, policy: &MsrPolicy, state: &MsrState, context: &MsrContext) -> Read {
    match msr {
        FS_BASE => Read::FsBase,
        GS_BASE => Read::GsBase,
        KERNEL_GS_BASE => Read::UserGsBase,
        EFER => Read::Value(policy.guest_efer()),
        TSC => Read::Tsc,
        TSC_AUX if policy.has_tsc_aux => Read::Value(u64::from(state.tsc_aux)),
        PAT => Read::Value(PAT_VALUE),
        HYPERCALL_PAGE => Read::Value(0),
        APIC_BASE => {
            let boot = if context.vcpu == 0 { APIC_BASE_BSP } else { 0 };
            Read::Value(APIC_BASE_VALUE | boot)
        }
        MICROCODE_LEVEL => Read::Hardware { clear: 0, set: 0 },
        // No CPUID faulting, no machine check banks, no performance monitoring.
        PLATFORM_INFO | MISC_FEATURES_ENABLES | MCG_CAP | MCG_STATUS | PERF_CAPABILITIES => {
            Read::Value(0)
        }
        _ if is_always_refused(msr) => Read::Fault,
        _ => vendor(msr, policy).unwrap_or_else(|| other(policy, context)),
    }
}

/// Registers that exist on processors of one vendor only.
fn vendor(msr: u32, policy: &MsrPolicy) -> Option<Read> {
    if policy.is_intel() {
        return intel(msr);
    }
    if policy.is_amd() {
        return amd(msr, policy);
    }
    None
}

fn intel(msr: u32) -> Option<Read> {
    match msr {
        PLATFORM_ID => Some(Read::Hardware { clear: 0, set: 0 }),
        FEATURE_CONTROL => Some(Read::Value(FEATURE_CONTROL_LOCKED)),
        MISC_ENABLE => Some(Read::Hardware { clear: MISC_ENABLE_CLEAR, set: MISC_ENABLE_SET }),
        PERF_STATUS | PERF_CTL | THERM_STATUS => Some(Read::Value(0)),
        _ if is_intel_counter(msr) => Some(Read::Value(0)),
        _ => None,
    }
}

fn amd(msr: u32, policy: &MsrPolicy) -> Option<Read> {
    match msr {
        AMD_HWCR | AMD_NB_CFG => Some(Read::Value(0)),
        AMD_DE_CFG => Some(Read::Value(DE_CFG_LFENCE)),
        AMD_MMIO_CONFIG if (0x10..=0x16).contains(&policy.family) => Some(Read::Value(0)),
        _ if is_amd_pstate(msr) || is_amd_counter(msr) => Some(Read::Value(0)),
        _ if is_amd_memory_map(msr) && policy.is_hardware_domain => {
            Some(Read::Hardware { clear: 0, set: 0 })
        }
        _ => None,
    }
}

/// Unknown registers. A kernel without a fault handler would die of a fault; one that asked for
/// relaxed registers prefers zeroes.
fn other(policy: &MsrPolicy, context: &MsrContext) -> Read {
    match policy.is_relaxed || !context.can_take_fault {
        true => Read::ZeroIfPresent,
        false => Read::Fault,
    }
}
