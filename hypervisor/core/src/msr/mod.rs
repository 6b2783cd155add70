//! Model-specific registers as guests see them.
//!
//! Called when RDMSR or WRMSR of a guest kernel is emulated; user mode never gets here, it faults. A
//! few registers are virtual state ([`MsrState`]), some stand for state the image holds (segment
//! bases, the counter), some are explained by the tables in [`rules`]; all others give the guest a
//! general protection fault.
//!
//! Invariants: nothing a guest does reaches a real register except through [`Read::Hardware`], for
//! registers of a fixed list, and the image performs those reads with fault recovery; no write of
//! a guest ever reaches one. A register nobody has thought about is refused.

mod rules;

use crate::cpuid::Vendor;
use hypercall_abi::addr::{is_canonical, Mfn, PAGE_OFFSET_MASK};

/// Time-stamp counter.
pub const TSC: u32 = 0x10;
/// Base of the local APIC.
pub const APIC_BASE: u32 = 0x1b;
/// Level of the microcode.
pub const MICROCODE_LEVEL: u32 = 0x8b;
/// Enables miscellaneous features.
pub const MISC_FEATURES_ENABLES: u32 = 0x140;
/// Machine check: status.
pub const MCG_STATUS: u32 = 0x17a;
/// Installs hypercall stubs.
pub const HYPERCALL_PAGE: u32 = hypercall_abi::cpuid::HYPERCALL_MSR_BASE;
/// Extended features: SYSCALL, long mode, NX.
pub const EFER: u32 = 0xc000_0080;
/// Base of fs.
pub const FS_BASE: u32 = 0xc000_0100;
/// Base of gs.
pub const GS_BASE: u32 = 0xc000_0101;
/// Base of gs that SWAPGS exchanges.
pub const KERNEL_GS_BASE: u32 = 0xc000_0102;
/// What RDTSCP gives besides the counter.
pub const TSC_AUX: u32 = 0xc000_0103;

/// EFER bits a guest sees: SCE, LME, LMA, NX, LMSLE, FFXSR.
const EFER_VISIBLE: u64 = 1 << 0 | 1 << 8 | 1 << 10 | 1 << 11 | 1 << 13 | 1 << 14;
/// Base of the local APIC, enabled.
const APIC_BASE_VALUE: u64 = 0xfee0_0800;
/// Bit of the APIC base: this is the boot processor.
const APIC_BASE_BSP: u64 = 0x100;

/// The registers that are state of a vCPU.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MsrState {
    /// What RDTSCP and RDPID give; the image loads it with the vCPU.
    pub tsc_aux: u32,
}

/// What registers mean for one kind of domain on one machine.
#[derive(Clone, Copy, Debug)]
pub struct MsrPolicy {
    /// Who made the processor.
    pub vendor: Vendor,
    /// Family of the processor.
    pub family: u32,
    /// The real EFER.
    pub host_efer: u64,
    /// Whether RDTSCP or RDPID is offered.
    pub has_tsc_aux: bool,
    /// Whether the policy is the control domain's.
    pub is_hardware_domain: bool,
    /// Whether the domain asked for reads of unknown registers to give 0.
    pub is_relaxed: bool,
}

impl MsrPolicy {
    /// EFER as the guest reads it: the architectural bits, without virtualization.
    fn guest_efer(&self) -> u64 {
        self.host_efer & EFER_VISIBLE
    }
}

/// What an access depends on besides policy and state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MsrContext {
    /// Number of the vCPU; number 0 is the boot processor.
    pub vcpu: u32,
    /// Whether the guest has a handler for general protection faults. A kernel that has none yet
    /// could not survive one, so reads of registers that exist give 0.
    pub can_take_fault: bool,
}

/// The answer to RDMSR.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Read {
    /// This value.
    Value(u64),
    /// The counter as RDTSC of the guest gives it.
    Tsc,
    /// The real register, read with fault recovery, with some bits cleared and some set. A fault
    /// becomes the guest's.
    Hardware {
        /// Bits to clear.
        clear: u64,
        /// Bits to set.
        set: u64,
    },
    /// 0 if the real register can be read (with fault recovery), else a fault.
    ZeroIfPresent,
    /// A general protection fault.
    Fault,
}

/// The answer to WRMSR.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Write {
    /// Nothing more to do.
    Done,
    /// Set the base of fs.
    FsBase(u64),
    /// Set the base of gs in kernel mode, which is the current one.
    GsBase(u64),
    /// Set the base of gs in user mode.
    UserGsBase(u64),
    /// The state has a new value for RDTSCP; load it.
    TscAux(u32),
    /// Fill this frame with hypercall stubs; a frame that cannot be had is a fault.
    HypercallPage(Mfn),
    /// Ignored if the real register can be read (with fault recovery), else a fault.
    IgnoredIfPresent,
    /// A general protection fault.
    Fault,
}

/// Decides what a guest kernel reads from a register.
#[inline]
#[must_use]
pub fn read(msr: u32, policy: &MsrPolicy, state: &MsrState, context: &MsrContext) -> Read {
    match msr {
        // The bases of a running guest are in the real registers.
        FS_BASE | GS_BASE | KERNEL_GS_BASE => Read::Hardware { clear: 0, set: 0 },
        EFER => Read::Value(policy.guest_efer()),
        TSC => Read::Tsc,
        TSC_AUX if policy.has_tsc_aux => Read::Value(u64::from(state.tsc_aux)),
        APIC_BASE if context.vcpu == 0 => Read::Value(APIC_BASE_VALUE | APIC_BASE_BSP),
        APIC_BASE => Read::Value(APIC_BASE_VALUE),
        _ => match rules::find(msr, policy) {
            Some((_, Some(read), _)) => *read,
            // A kernel without a fault handler would die of a fault; one that asked for relaxed
            // registers prefers zeroes.
            _ if policy.is_relaxed || !context.can_take_fault => Read::ZeroIfPresent,
            _ => Read::Fault,
        },
    }
}

/// Decides what a guest kernel's write to a register does.
#[inline]
#[must_use]
pub fn write(msr: u32, value: u64, policy: &MsrPolicy, state: &mut MsrState) -> Write {
    match msr {
        FS_BASE | GS_BASE | KERNEL_GS_BASE if !is_canonical(value) => Write::Fault,
        FS_BASE => Write::FsBase(value),
        GS_BASE => Write::GsBase(value),
        KERNEL_GS_BASE => Write::UserGsBase(value),
        // A kernel may write what it read, for example to turn on NX that is on already.
        EFER if value == policy.guest_efer() => Write::Done,
        TSC_AUX if policy.has_tsc_aux && value >> 32 == 0 => {
            state.tsc_aux = value as u32;
            Write::TscAux(state.tsc_aux)
        }
        HYPERCALL_PAGE if value & PAGE_OFFSET_MASK == 0 => {
            Write::HypercallPage(Mfn::from_maddr(value))
        }
        MISC_FEATURES_ENABLES | MCG_STATUS if value == 0 => Write::Done,
        MICROCODE_LEVEL if value == 0 && policy.vendor == Vendor::Intel => Write::Done,
        EFER | TSC_AUX | TSC | APIC_BASE => Write::Fault,
        _ => match rules::find(msr, policy) {
            Some((_, _, Some(write))) => *write,
            _ if policy.is_relaxed => Write::IgnoredIfPresent,
            _ => Write::Fault,
        },
    }
}
