//! Start of day: from the builder's state to a kernel in which everything works.
//!
//! The order is the contents of this module: memory first, then the console, then everything that
//! needs the heap. `entry.S` calls `pvkernel_start`; it ends in the program's main function.

use core::ptr::NonNull;
use core::sync::atomic::{AtomicU64, Ordering};

use hypercall_abi::mmu::uvmf;
use hypercall_abi::start_info::{Sif, StartInfo};
use hypercall_abi::{EvtchnPort, Mfn, VcpuId, Virq};
use pvkernel_core::cmdline::CommandLine;
use spin::Once;

use crate::console_line::Line;
use crate::hypercall::{cpu, mmu::update_va_mapping, vcpu};
use crate::layout::{pfn_of, Pfn};
use crate::{
    builder, console, directmap, event, frames, mmu, p2m, platform, shared_page, thread, trap,
    vcpu_info,
};

/// What this kernel was started with.
#[derive(Debug)]
pub struct BootInfo {
    /// Frames of the domain.
    pub nr_pages: usize,
    /// Whether this is the initial control domain.
    pub is_dom0: bool,
    /// Everything the start page says about the domain's rights.
    pub flags: Sif,
    /// The command line; empty when it is not valid text.
    pub cmdline: &'static str,
    /// The boot module.
    pub ramdisk: Option<&'static [u8]>,
    /// Frame of the console ring, for ordinary domains.
    pub console_mfn: Mfn,
    /// Port of the console ring.
    pub console_evtchn: EvtchnPort,
    /// Frame of the xenstore ring, or 0.
    pub store_mfn: Mfn,
    /// Port of the xenstore ring.
    pub store_evtchn: EvtchnPort,
    /// The start page itself, as a copy.
    pub start_info: StartInfo,
    /// Time stamp counter at the first instruction.
    pub entry_tsc: u64,
}

impl BootInfo {
    /// The words of the command line.
    #[must_use]
    pub const fn args(&self) -> CommandLine<'static> {
        CommandLine::new(self.cmdline)
    }
}

static BOOT_INFO: Once<BootInfo> = Once::new();

/// What this kernel was started with.
///
/// # Panics
/// Before the first steps of the boot.
#[must_use]
pub fn info() -> &'static BootInfo {
    BOOT_INFO.get().expect("set at boot")
}

#[cfg(target_os = "none")]
mod symbols {
    // SAFETY: defined in entry.S and by `entry!`, with these types.
    unsafe extern "C" {
        pub static boot_stack_guard: u8;
        pub fn pvkernel_main() -> !;
    }
}

/// On a host nothing is ever started; the names only have to exist.
#[cfg(not(target_os = "none"))]
mod symbols {
    #![allow(non_upper_case_globals, clippy::missing_safety_doc)]
    pub static boot_stack_guard: u8 = 0;
    pub unsafe extern "C" fn pvkernel_main() -> ! {
        crate::power::crash()
    }
}

/// First Rust code: `start` is the start page, `boot_stack` the end of the builder's stack,
/// `entry_tsc` the time stamp counter at the first instruction.
///
/// # Safety
/// Called by `entry.S`, once, with what the builder left in the registers.
#[cfg_attr(target_os = "none", unsafe(no_mangle))]
pub unsafe extern "C" fn pvkernel_start(
    start: *const StartInfo,
    boot_stack: u64,
    entry_tsc: u64,
) -> ! {
    // SAFETY: the builder mapped the start page at the address in rsi; its layout is the ABI's.
    let start = unsafe { start.read() };
    trap::install();
    init_memory(&start, boot_stack);
    let boot = BOOT_INFO.call_once(|| builder::read(start, entry_tsc));
    init_events(boot);
    console::init(Line::new(boot));
    init_frames(&start, boot_stack);
    guard_boot_stack();
    thread::init();
    console::start_input();
    event::enable_upcalls();
    // SAFETY: `entry!` defines the function with this signature.
    unsafe { symbols::pvkernel_main() }
}

/// Takes the builder's list of frames and makes the direct map, whose tables come to lie behind the boot
/// stack.
fn init_memory(start: &StartInfo, boot_stack: u64) {
    let list = core::ptr::with_exposed_provenance_mut(start.mfn_list as usize);
    let list = NonNull::new(list).expect("the builder gives a list of frames");
    // SAFETY: the builder's list of `nr_pages` machine frames, mapped at this address; it is ours.
    unsafe { p2m::init(list, start.nr_pages as usize) };
    let root = pfn_of(start.pt_base).and_then(p2m::mfn).expect("the root table is a frame of ours");
    mmu::init(root);
    // SAFETY: frames behind the boot stack are unused; this runs once.
    unsafe { directmap::build(&builder::plan(start, boot_stack)) };
    mmu::direct_map_ready();
}

/// The frame allocator's bitmap lies behind the direct map's tables; all behind it is free.
fn init_frames(start: &StartInfo, boot_stack: u64) {
    let count = start.nr_pages as usize;
    let bitmap = builder::plan(start, boot_stack).tables().end;
    let first = bitmap + frames::bitmap_frames(count);
    assert!(first < count, "too little memory for the frame bitmap");
    // SAFETY: frames behind the direct map's tables are unused.
    unsafe { frames::init(Pfn::new(bitmap as u64), count) };
    frames::free(Pfn::new(first as u64), count - first);
    FIRST_FREE.store(first as u64, Ordering::Relaxed);
}

static FIRST_FREE: AtomicU64 = AtomicU64::new(0);

/// The first frame that was free at boot; those below belong to what the builder left.
pub(crate) fn first_free() -> Pfn {
    Pfn::new(FIRST_FREE.load(Ordering::Relaxed))
}

/// Makes the shared page reachable and stops the periodic timer that every vCPU starts with.
fn init_events(boot: &BootInfo) {
    // SAFETY: the shared page is mapped there for ever and reached through `vcpu_info` only.
    unsafe { vcpu_info::init(shared_page::map(boot)) };
    vcpu::stop_periodic_timer(VcpuId::new(0)).expect("vCPU 0 exists");
    cpu::fpu_taskswitch(false).expect("the flag can be cleared");
}

/// Unmaps the page below the boot stack, and binds the timer, whose effect is to wake us.
fn guard_boot_stack() {
    let guard = &raw const symbols::boot_stack_guard as u64;
    // SAFETY: the page is reserved for this; nothing lies in it.
    unsafe { update_va_mapping(guard, 0, uvmf::INVLPG | uvmf::LOCAL) }
        .expect("a page of the image can be unmapped");
    event::bind_virq(Virq::TIMER, platform::timer_fired).expect("the timer is not bound yet");
}
