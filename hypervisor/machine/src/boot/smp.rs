//! Starts the other CPUs.
//!
//! All are started at once, by broadcast; each finds its number by its APIC's number, comes up on its
//! own stack and waits, asleep, until the image's `boot` hook has returned on the boot processor.
//! Waiting counts iterations, not time: under an instruction-counting emulator time passes slowly.

use super::paging::{build_window, maddr_of};
use crate::cpu::{self, spin_until, start};
use crate::entry;
use crate::irq::{self, apic};
use crate::mem::{hvslots, pt};
use crate::percpu::{self, CpuId, MAX_CPUS};
use crate::{cpuinfo, tlb, warn};
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Page the other CPUs start at: memory of the firmware's boot loader, unused by now.
const TRAMPOLINE: u64 = 0x8000;
/// Looks at the list of CPUs before the start-up interrupt is repeated, and before missing CPUs are
/// given up.
const RETRY_LOOKS: u32 = 20_000;
const GIVE_UP_LOOKS: u32 = 20_000_000;

/// The start-up interrupt, with that page's number.
const STARTUP: u32 = apic::STARTUP | (TRAMPOLINE >> 12) as u32;

/// Root table of the other CPUs; read by `start.S`, like the list of APIC numbers.
#[no_mangle]
static HV_AP_ROOT: AtomicU64 = AtomicU64::new(0);

/// The image's `boot` hook has returned.
static RELEASED: AtomicBool = AtomicBool::new(false);

extern "C" {
    static hv_ap_trampoline: u8;
    static hv_ap_trampoline_end: u8;
}

/// Starts the CPUs with these APICs, except this one; returns how many CPUs there will be.
pub(super) fn start_others(apic_ids: &[u32]) -> u32 {
    let own = apic::id();
    let others = apic_ids.iter().copied().filter(|id| *id != own).take(MAX_CPUS - 1);
    let mut count = 1;
    for apic_id in others {
        apic::set_id(count, apic_id);
        build_window(count);
        count += 1;
    }
    HV_AP_ROOT.store(hvslots::root().maddr(), Ordering::SeqCst);
    if count > 1 {
        copy_trampoline();
        apic::send_all_others(apic::INIT);
        apic::send_all_others(STARTUP);
    }
    count
}

fn copy_trampoline() {
    let start = &raw const hv_ap_trampoline;
    let len = maddr_of(&raw const hv_ap_trampoline_end) - maddr_of(start);
    let target = pt::phys_to_virt(TRAMPOLINE);
    // SAFETY: the page is RAM below 1 MiB, mapped, never given to the allocator, and not in use by
    // the boot loader any more; the code is a few dozen bytes.
    unsafe { core::ptr::copy_nonoverlapping(start, target, len as usize) };
}

/// Waits until `expected` CPUs run; those that do not come are done without.
pub(super) fn wait_for(expected: u32) {
    let all_run = || percpu::online_mask() == u64::MAX >> (64 - expected);
    if !spin_until(RETRY_LOOKS, all_run) {
        apic::send_all_others(STARTUP);
        spin_until(GIVE_UP_LOOKS, all_run);
    }
    // Numbers must be contiguous: CPUs behind a missing one are not used either.
    let usable = percpu::online_mask().trailing_ones();
    if usable < expected {
        warn!("{} of {expected} CPUs did not start", expected - usable);
    }
    percpu::set_count(usable);
}

/// Lets the other CPUs go to work.
pub(super) fn release_others() {
    RELEASED.store(true, Ordering::SeqCst);
    (1..percpu::nr_cpus()).for_each(|cpu| irq::kick(CpuId(cpu)));
}

/// First Rust code of another CPU, on its own stack.
#[no_mangle]
extern "C" fn hv_ap_main(cpu: u32) -> ! {
    let cpu = CpuId(cpu);
    cpuinfo::prepare(cpu);
    start::init(cpu.0);
    apic::enable();
    tlb::flush_local_all();
    percpu::mark_online(cpu);
    // A CPU that came too late to be counted stays here; it answers TLB requests like any other.
    while !RELEASED.load(Ordering::SeqCst) || cpu.0 >= percpu::nr_cpus() {
        cpu::idle_wait();
    }
    percpu::info().released.store(1, Ordering::SeqCst);
    entry::enter_exit_loop()
}
