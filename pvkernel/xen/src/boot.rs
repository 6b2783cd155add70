//! Start of day: from the builder's state to a kernel in which everything works.
//!
//! The order is the contents of this module: memory first, then the console, then everything that
//! needs the heap. `entry.S` calls `pvkernel_start`; it ends in the program's main function.

use core::ptr::NonNull;
use core::sync::atomic::{AtomicU64, Ordering};

use hypercall_abi::mmu::uvmf;
use hypercall_abi::start_info::{Sif, StartInfo};
use hypercall_abi::{EvtchnPort, Mfn, Pfn, VcpuId, Virq};
use pvkernel_core::cmdline::CommandLine;
use pvkernel_core::frames::FrameAllocator;
use spin::Once;

use crate::console_line::Line;
use crate::directmap::{self, Plan};
use crate::hypercall::{cpu, mmu::update_va_mapping, vcpu};
use crate::layout::{direct_va, pfn_of, PAGE, VIRT_BASE};
use crate::{console, event, frames, mmu, p2m, platform, thread, trap, vcpu_info};

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

/// A page whose mapping is replaced by that of the shared page.
#[repr(C, align(4096))]
struct SharedInfoPage(core::cell::UnsafeCell<[u8; PAGE as usize]>);

// SAFETY: never accessed through this type; only its address is used.
unsafe impl Sync for SharedInfoPage {}

static SHARED_INFO_PAGE: SharedInfoPage =
    SharedInfoPage(core::cell::UnsafeCell::new([0; PAGE as usize]));

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
    let boot = BOOT_INFO.call_once(|| read_boot_info(start, entry_tsc));
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

/// The plan of the direct map: tables behind the boot stack.
fn plan(start: &StartInfo, boot_stack: u64) -> Plan {
    let frame = |va: u64| ((va - VIRT_BASE) / PAGE) as usize;
    let tables = frame(start.pt_base);
    let tables = tables..tables + start.nr_pt_frames as usize;
    Plan::new(start.nr_pages as usize, tables, frame(boot_stack))
}

fn init_memory(start: &StartInfo, boot_stack: u64) {
    let list = core::ptr::with_exposed_provenance_mut(start.mfn_list as usize);
    let list = NonNull::new(list).expect("the builder gives a list of frames");
    // SAFETY: the builder's list of `nr_pages` machine frames, mapped at this address; it is ours.
    unsafe { p2m::init(list, start.nr_pages as usize) };
    let root = pfn_of(start.pt_base).and_then(p2m::mfn).expect("the root table is a frame of ours");
    mmu::init(root);
    // SAFETY: frames behind the boot stack are unused; this runs once.
    unsafe { directmap::build(&plan(start, boot_stack)) };
}

static FIRST_FREE: AtomicU64 = AtomicU64::new(0);

/// The first frame that was free at boot; those below belong to what the builder left.
pub(crate) fn first_free() -> Pfn {
    Pfn::new(FIRST_FREE.load(Ordering::Relaxed))
}

/// The bitmap of the frame allocator lies behind the direct map's tables; all behind it is free.
fn init_frames(start: &StartInfo, boot_stack: u64) {
    let count = start.nr_pages as usize;
    let first = plan(start, boot_stack).end();
    let words = FrameAllocator::words_for(count);
    let bitmap = direct_va(Pfn::new(first as u64)) as usize;
    let bitmap = core::ptr::with_exposed_provenance_mut::<u64>(bitmap);
    let pages = (words * 8).div_ceil(PAGE as usize);
    assert!(first + pages < count, "too little memory for the frame bitmap");
    // SAFETY: the frames are unused, mapped writable in the direct map, and any bits are words.
    let bitmap = unsafe { core::slice::from_raw_parts_mut(bitmap, words) };
    FIRST_FREE.store((first + pages) as u64, Ordering::Relaxed);
    frames::init(bitmap, count, first + pages);
}

fn read_boot_info(start: StartInfo, entry_tsc: u64) -> BootInfo {
    BootInfo {
        nr_pages: start.nr_pages as usize,
        is_dom0: start.flags.contains(Sif::INITDOMAIN),
        flags: start.flags,
        cmdline: leak_cmdline(&start),
        ramdisk: ramdisk(&start),
        console_mfn: start.console_mfn,
        console_evtchn: start.console_evtchn,
        store_mfn: start.store_mfn,
        store_evtchn: start.store_evtchn,
        start_info: start,
        entry_tsc,
    }
}

/// The command line, copied to memory that lives for ever without the heap, which is not up yet.
fn leak_cmdline(start: &StartInfo) -> &'static str {
    static COPY: Once<[u8; hypercall_abi::start_info::MAX_GUEST_CMDLINE]> = Once::new();
    let len = start.cmd_line().len();
    let copy = COPY.call_once(|| start.cmd_line);
    core::str::from_utf8(&copy[..len]).unwrap_or("")
}

fn ramdisk(start: &StartInfo) -> Option<&'static [u8]> {
    if start.mod_start == 0 || start.mod_len == 0 {
        return None;
    }
    let address = if start.flags.contains(Sif::MOD_START_PFN) {
        direct_va(Pfn::new(start.mod_start))
    } else {
        start.mod_start
    };
    let data = core::ptr::with_exposed_provenance::<u8>(address as usize);
    // SAFETY: the builder put `mod_len` bytes there; they lie below the boot stack and are never
    // given to the frame allocator.
    Some(unsafe { core::slice::from_raw_parts(data, start.mod_len as usize) })
}

/// Maps the shared page and stops the periodic timer that every vCPU starts with.
fn init_events(boot: &BootInfo) {
    let page = SHARED_INFO_PAGE.0.get().cast::<u8>();
    let entry = boot.start_info.shared_info_maddr | mmu::KERNEL_RW;
    // SAFETY: the page is reserved for this; nothing else lies in it.
    unsafe { update_va_mapping(page as u64, entry, uvmf::INVLPG | uvmf::LOCAL) }
        .expect("the shared page can be mapped");
    let page = NonNull::new(page).expect("statics have addresses");
    // SAFETY: the shared page is mapped there for ever and reached through `vcpu_info` only.
    unsafe { vcpu_info::init(page) };
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
