//! WRMSR.

use super::index::*;
use super::{MsrPolicy, MsrState, Write};
use hypercall_abi::addr::{is_canonical, Mfn, PAGE_OFFSET_MASK};

/// Decides what a guest kernel's write to a register does. User mode never gets here: it faults.
#[inline]
#[must_use]
pub fn write(msr: u32, value: u64, policy: &MsrPolicy, state: &mut MsrState) -> Write {
    match msr {
        FS_BASE | GS_BASE | KERNEL_GS_BASE => base(msr, value),
        // A kernel may write what it read, for example to turn on NX that is on already.
        EFER if value == policy.guest_efer() => Write::Done,
        TSC_AUX if policy.has_tsc_aux => match u32::try_from(value) {
            Ok(aux) => {
                state.tsc_aux = aux;
                Write::TscAux(aux)
            }
            Err(_) => Write::Fault,
        },
        HYPERCALL_PAGE if value & PAGE_OFFSET_MASK == 0 => {
            Write::HypercallPage(Mfn::from_maddr(value))
        }
        MISC_FEATURES_ENABLES | MCG_STATUS if value == 0 => Write::Done,
        EFER | TSC_AUX | MISC_FEATURES_ENABLES | MCG_STATUS => Write::Fault,
        TSC | PAT | APIC_BASE | PLATFORM_INFO | MCG_CAP | PERF_CAPABILITIES => Write::Fault,
        _ if is_always_refused(msr) => Write::Fault,
        _ if is_ignored(msr, value, policy) => Write::Done,
        _ if policy.is_relaxed => Write::IgnoredIfPresent,
        _ => Write::Fault,
    }
}

fn base(msr: u32, value: u64) -> Write {
    match msr {
        _ if !is_canonical(value) => Write::Fault,
        FS_BASE => Write::FsBase(value),
        GS_BASE => Write::GsBase(value),
        _ => Write::UserGsBase(value),
    }
}

/// Registers that guests write on the hardware they know, where the write has no meaning here.
fn is_ignored(msr: u32, value: u64, policy: &MsrPolicy) -> bool {
    if policy.is_intel() {
        return match msr {
            MICROCODE_LEVEL => value == 0,
            MISC_ENABLE | PERF_CTL | THERM_CONTROL | ENERGY_PERF_BIAS | MPERF | APERF => true,
            _ => is_intel_counter(msr),
        };
    }
    if policy.is_amd() {
        return match msr {
            AMD_HWCR | AMD_DE_CFG | AMD_NB_CFG | MPERF | APERF => true,
            AMD_MMIO_CONFIG => (0x10..=0x16).contains(&policy.family),
            _ => is_amd_pstate(msr) || is_amd_counter(msr),
        };
    }
    false
}
