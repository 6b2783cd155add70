//! `rdmsr` and `wrmsr` of guest kernels.

use hv_core::msr::{self, MsrContext, MsrPolicy, Read, Write};
use hv_core::trap::vector;
use hv_machine::cpu;
use hv_machine::segments::{self, Base};

use super::privop::{Detour, Emulated};
use super::{cpuid, hypercall_page};
use crate::current::Here;
use crate::domain::VcpuState;

fn policy(here: &Here) -> MsrPolicy {
    let dom = here.dom();
    let cpuid = cpuid::policy(dom.privileged);
    MsrPolicy {
        vendor: cpuid.vendor(),
        family: cpuid.family(),
        host_efer: cpu::rdmsr_safe(msr::EFER).unwrap_or(0),
        has_tsc_aux: cpuid.has_tsc_aux(),
        is_hardware_domain: dom.privileged,
        is_relaxed: dom.relaxed_msrs,
    }
}

/// What `rdtscp` gives besides the counter.
pub fn tsc_aux(here: &Here) -> Emulated<u64> {
    let is_offered = cpuid::policy(here.dom().privileged).has_tsc_aux();
    is_offered.then(|| here.vcpu().state.lock().msrs.tsc_aux.into()).ok_or(Detour::Undefined)
}

/// `rdmsr`.
pub fn read(here: &Here, number: u32) -> Emulated<u64> {
    let state = here.vcpu().state.lock();
    let can_take_fault = state.traps.handler(vector::GENERAL_PROTECTION).is_some();
    let context = MsrContext { vcpu: here.vcpu().id.get(), can_take_fault };
    let value = match msr::read(number, &policy(here), &state.msrs, &context) {
        Read::Value(value) => Some(value),
        Read::Tsc => Some(cpu::rdtsc()),
        Read::Hardware { clear, set } => cpu::rdmsr_safe(number).map(|value| value & !clear | set),
        Read::ZeroIfPresent => cpu::rdmsr_safe(number).map(|_| 0),
        Read::Fault => None,
    };
    value.ok_or(Detour::Refused)
}

/// `wrmsr`.
pub fn write(here: &Here, number: u32, value: u64) -> Emulated {
    let policy = policy(here);
    let decision = msr::write(number, value, &policy, &mut here.vcpu().state.lock().msrs);
    match decision {
        Write::Done => {}
        Write::FsBase(base) => segments::set_base(Base::Fs, base),
        Write::GsBase(base) => segments::set_base(Base::Gs, base),
        Write::UserGsBase(base) => segments::set_base(Base::OtherGs, base),
        Write::TscAux(value) => {
            cpu::wrmsr_safe(msr::TSC_AUX, u64::from(value));
        }
        Write::HypercallPage(mfn) => hypercall_page::install(here.dom(), mfn)?,
        Write::IgnoredIfPresent if cpu::rdmsr_safe(number).is_some() => {}
        Write::IgnoredIfPresent | Write::Fault => return Err(Detour::Refused),
    }
    Ok(())
}

/// Loads the registers of a vCPU that guests can read without a trap.
pub fn load(state: &VcpuState, privileged: bool) {
    if cpuid::policy(privileged).has_tsc_aux() {
        cpu::wrmsr_safe(msr::TSC_AUX, u64::from(state.msrs.tsc_aux));
    }
}
