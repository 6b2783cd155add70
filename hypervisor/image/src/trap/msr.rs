//! `rdmsr` and `wrmsr` of guest kernels.

use hv_core::msr::{self, MsrContext, MsrPolicy, Read, Write};
use hv_core::trap::vector;
use hv_machine::{cpu, segments, GuestRegs};

use super::privop::Done;
use super::{cpuid, hypercall_page};
use crate::current::Here;
use crate::domain::VcpuState;

/// The register with the features of long mode.
const EFER: u32 = 0xc000_0080;
/// The register `rdtscp` reads.
const TSC_AUX: u32 = 0xc000_0103;

fn policy(here: &Here) -> MsrPolicy {
    let privileged = here.dom().privileged;
    let efer = cpu::rdmsr_safe(EFER).unwrap_or(0);
    MsrPolicy::new(cpuid::policy(privileged), efer, privileged)
}

fn context(here: &Here) -> MsrContext {
    let can_take_fault =
        here.vcpu().state.lock().traps.handler(vector::GENERAL_PROTECTION).is_some();
    MsrContext { vcpu: here.vcpu().id.get(), can_take_fault }
}

/// `rdmsr`.
pub fn read(here: &Here, regs: &mut GuestRegs) -> Done {
    let number = regs.rcx as u32;
    let context = context(here);
    let msrs = here.vcpu().state.lock().msrs;
    let value = match msr::read(number, &policy(here), &msrs, &context) {
        Read::Value(value) => Some(value),
        Read::FsBase => Some(segments::fs_base()),
        Read::GsBase => Some(segments::gs_base_current()),
        Read::UserGsBase => Some(segments::gs_base_other()),
        Read::Tsc => Some(cpu::rdtsc()),
        Read::Hardware { clear, set } => cpu::rdmsr_safe(number).map(|value| value & !clear | set),
        Read::ZeroIfPresent => cpu::rdmsr_safe(number).map(|_| 0),
        Read::Fault => None,
    };
    let Some(value) = value else { return Done::Refused };
    regs.rax = value & 0xffff_ffff;
    regs.rdx = value >> 32;
    Done::Next
}

/// `wrmsr`.
pub fn write(here: &Here, regs: &GuestRegs) -> Done {
    let number = regs.rcx as u32;
    let value = regs.rax & 0xffff_ffff | regs.rdx << 32;
    let policy = policy(here);
    let decision = msr::write(number, value, &policy, &mut here.vcpu().state.lock().msrs);
    match decision {
        Write::Done => {}
        Write::FsBase(base) => segments::set_fs_base(base),
        Write::GsBase(base) => segments::set_gs_base_current(base),
        Write::UserGsBase(base) => segments::set_gs_base_other(base),
        Write::TscAux(value) => {
            cpu::wrmsr_safe(TSC_AUX, u64::from(value));
        }
        Write::HypercallPage(mfn) => {
            if hypercall_page::install(here.dom(), mfn).is_err() {
                return Done::Refused;
            }
        }
        Write::IgnoredIfPresent if cpu::rdmsr_safe(number).is_some() => {}
        Write::IgnoredIfPresent | Write::Fault => return Done::Refused,
    }
    Done::Next
}

/// Loads the registers of a vCPU that guests can read without a trap.
pub fn load(state: &VcpuState, privileged: bool) {
    if cpuid::policy(privileged).has_tsc_aux() {
        cpu::wrmsr_safe(TSC_AUX, u64::from(state.msrs.tsc_aux));
    }
}
