//! A vCPU: its architectural state and where it stands between the scheduler and its guest.
//!
//! `state` is changed by the CPU that runs the vCPU, or by a controller while the vCPU is paused
//! and off every CPU; the lock makes both safe. The registers in it are stale while the vCPU runs:
//! the live ones are on the stack of its CPU. Flags other CPUs look at are atomics.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use hv_core::msr::MsrState;
use hv_core::sched::SchedId;
use hv_core::trap::{Callbacks, DebugRegs, TrapTable};
use hv_machine::cpu::FpuArea;
use hv_machine::cpuinfo::{InfoPlace, VcpuWords};
use hv_machine::segments::SegState;
use hv_machine::sync::{Mutex, Once};
use hv_machine::GuestRegs;
use hypercall_abi::{Mfn, VcpuId};

use crate::counters::Counters;
use crate::pvtime::Runstate;
use crate::trap::cpuid::DEFAULT_XCR0;
use crate::wake;

/// Value of [`Vcpu::cpu`] while the vCPU is on no CPU.
pub const NO_CPU: u32 = u32::MAX;

/// Architectural state of a vCPU.
#[derive(Default)]
pub struct VcpuState {
    /// General registers while the vCPU is not running.
    pub regs: GuestRegs,
    /// Whether the guest is in its kernel mode.
    pub kernel_mode: bool,
    /// The guest's trap table. Apart, so that what a switch needs is in one page.
    pub traps: Box<TrapTable>,
    /// Entry points for events, system calls and failed segment loads.
    pub callbacks: Callbacks,
    /// Stack segment for entries from user mode, as last set.
    pub kernel_ss: u64,
    /// Stack pointer for entries from user mode.
    pub kernel_sp: u64,
    /// Root table of kernel mode; holds a type reference.
    pub root: Option<Mfn>,
    /// Root table of user mode; holds a type reference.
    pub user_root: Option<Mfn>,
    /// Frames of the guest's GDT; each holds a descriptor-page reference.
    pub gdt: Vec<Mfn>,
    /// Number of descriptors in the guest's GDT.
    pub gdt_ents: u32,
    /// Linear address of the LDT.
    pub ldt_base: u64,
    /// Number of descriptors in the LDT.
    pub ldt_ents: u32,
    /// LDT pages mapped so far, by index; each holds a descriptor-page reference.
    pub ldt_pages: [Option<Mfn>; 16],
    /// Segment selectors and bases.
    pub segments: SegState,
    /// Saved FPU state.
    pub fpu: Box<FpuArea>,
    /// Whether the FPU was ever used.
    pub fpu_used: bool,
    /// Virtual CR0.TS.
    pub ts: bool,
    /// Bits of CR4 the guest owns.
    pub cr4: u64,
    /// Model-specific registers that are state of the vCPU.
    pub msrs: MsrState,
    /// XCR0: the guest's choice of extended states.
    pub xcr0: u64,
    /// Debug registers.
    pub debug: DebugRegs,
    /// Virtual I/O privilege level.
    pub iopl: u8,
    /// Address of the I/O permission bitmap and number of ports it covers.
    pub iobitmap: (u64, u32),
}

/// Bits of [`Vcpu::flags`].
pub mod flag {
    /// A context was set.
    pub const INITIALISED: u32 = 1;
    /// The vCPU is up.
    pub const UP: u32 = 2;
    /// A non-maskable interrupt waits to be delivered.
    pub const NMI_PENDING: u32 = 4;
    /// The vCPU asked to give up the CPU.
    pub const YIELDED: u32 = 8;
    /// The vCPU is registered as a poller.
    pub const POLLING: u32 = 16;
    /// The guest handles a non-maskable interrupt.
    pub const NMI_MASKED: u32 = 32;
}

/// One virtual CPU of a domain.
#[derive(Default)]
pub struct Vcpu {
    /// Its number in its domain.
    pub id: VcpuId,
    /// Bits of module [`flag`].
    pub flags: AtomicU32,
    /// Waits in `SCHEDOP_block` or `SCHEDOP_poll`.
    pub blocked: AtomicBool,
    /// Its number in the scheduler, while it has one.
    pub sched: Once<SchedId>,
    /// CPU it runs on, or [`NO_CPU`].
    pub cpu: AtomicU32,
    /// Where its `vcpu_info` lies.
    pub info: InfoPlace,
    /// Secondary time area: guest address, or 0.
    pub time_area: AtomicU64,
    /// Period of the periodic timer in ns, or 0.
    pub period_ns: AtomicU64,
    /// CPUs whose queue may hold a timer of the vCPU, by kind of timer.
    pub timer_cpus: [AtomicU64; wake::KINDS],
    /// Everything architectural.
    pub state: Mutex<VcpuState>,
    /// Time spent per run state.
    pub runstate: Mutex<Runstate>,
    /// What it asked of the hypervisor.
    pub counters: Counters,
}

/// Period of the timer every PV vCPU starts with: 100 Hz.
const DEFAULT_PERIOD_NS: u64 = 10_000_000;

impl Vcpu {
    /// A vCPU that is down, with its `vcpu_info` in this frame.
    pub fn new(id: VcpuId, shared_info: Mfn) -> Self {
        let vcpu = Self {
            id,
            cpu: AtomicU32::new(NO_CPU),
            period_ns: AtomicU64::new(DEFAULT_PERIOD_NS),
            ..Self::default()
        };
        vcpu.info.set(shared_info, id.get() as usize * size_of::<VcpuWords>());
        vcpu.state.lock().kernel_mode = true;
        vcpu.state.lock().xcr0 = DEFAULT_XCR0;
        vcpu
    }

    /// Whether all of these flags are set.
    #[inline]
    pub fn has(&self, flags: u32) -> bool {
        self.flags.load(Ordering::SeqCst) & flags == flags
    }

    /// Whether any of these flags is set.
    #[inline]
    pub fn has_any(&self, flags: u32) -> bool {
        self.flags.load(Ordering::SeqCst) & flags != 0
    }

    /// Sets flags; returns those that were set before.
    pub fn set(&self, flags: u32) -> u32 {
        self.flags.fetch_or(flags, Ordering::SeqCst)
    }

    /// Clears flags; returns those that were set before.
    pub fn clear(&self, flags: u32) -> u32 {
        self.flags.fetch_and(!flags, Ordering::SeqCst)
    }
}

impl VcpuState {
    /// The root table for the mode the guest is in.
    pub fn active_root(&self) -> Option<Mfn> {
        if self.kernel_mode {
            self.root
        } else {
            self.user_root
        }
    }
}
