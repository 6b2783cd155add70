//! The boot order, one line per step; debug keys; what a panic tells beyond its message.

use alloc::vec::Vec;
use hv_machine::boot::BootInfo;
use hv_machine::percpu::{self, CpuId};
use hv_machine::sync::Once;
use hv_machine::{cpu, frames, heap, info, warn};
use hypercall_abi::memory::E820Entry;

use crate::domain::{table, vcpu::NO_CPU};
use crate::{counters, current, dom0, fpu, options, sched, wake};

static BOOT: Once<&'static BootInfo> = Once::new();

/// What the boot loader handed over.
pub fn boot_info() -> &'static BootInfo {
    match BOOT.get() {
        Some(boot) => boot,
        None => panic!("boot information used before it was there"),
    }
}

/// The hypervisor's command line.
pub fn command_line() -> &'static str {
    boot_info().cmdline
}

/// The machine's memory map.
pub fn memory_map() -> impl ExactSizeIterator<Item = E820Entry> {
    let regions = boot_info().memory_map.iter();
    regions.map(|region| E820Entry::new(region.start, region.len, region.kind))
}

/// Boots: the machine is ready, all CPUs run.
pub fn boot(boot: &'static BootInfo) {
    BOOT.call_once(|| boot);
    options::parse(boot.cmdline, |word| warn!("command line: `{word}` means nothing here"));
    let mib = frames::total_ram_pages() >> 8;
    info!("Zendo {}: {} CPUs, {mib} MiB", env!("CARGO_PKG_VERSION"), percpu::nr_cpus());
    prepare_cpu();
    sched::init();
    if wake::reserve(0).is_err() {
        panic!("no memory for timers");
    }
    if let Err(error) = dom0::start(boot) {
        panic!("dom0 cannot be started: {error}");
    }
    let ticks = cpu::rdtsc().wrapping_sub(boot.entry_tsc);
    info!("dom0 starts after {ticks} TSC ticks");
}

/// Another CPU is ready: it goes to its exit loop and finds something to run, or idles.
pub fn ap_boot(_cpu: CpuId) {
    prepare_cpu();
}

/// Makes this CPU's values now, so that the heap does not change when they are first used.
fn prepare_cpu() {
    counters::here();
    wake::prepare_cpu();
    sched::prepare_cpu();
    fpu::prepare_cpu();
    current::prepare_cpu();
}

/// What a panic prints besides its message.
pub fn epitaph() {
    warn!("on CPU {}", percpu::cpu_id().0);
}

/// Prints something about the hypervisor, as the debug keys of Xen do.
pub fn debug_key(key: u8) {
    match key {
        b'h' => info!("debug keys: q domains, m memory, c counters of this CPU, h this list"),
        b'q' => print_domains(),
        b'm' => {
            let heap = heap::stats();
            info!("{} frames free of {}", frames::free_count(), frames::total_ram_pages());
            info!("heap: {} objects, {} bytes, {} slab and {} large pages", heap.objects, heap.bytes, heap.slab_pages, heap.large_pages);
        }
        b'c' => print_counters(),
        _ => info!("no debug key `{}`; h lists them", key.escape_ascii()),
    }
}

fn print_domains() {
    for dom in table::list_from(hypercall_abi::ids::DomId::DOM0, table::MAX_DOMAINS) {
        let pages = dom.pages.lock();
        info!("domain {}: {} of {} pages, {} special", dom.id, pages.tot, pages.max, pages.special.len());
        drop(pages);
        info!("  ports {}, pauses {}", dom.ports.lock().table.live(), dom.pause_count.load(core::sync::atomic::Ordering::Relaxed));
        for vcpu in &dom.vcpus {
            let cpu = vcpu.cpu.load(core::sync::atomic::Ordering::Relaxed);
            let cpus: Vec<u32> = (cpu != NO_CPU).then_some(cpu).into_iter().collect();
            info!("  vCPU {} on CPUs {cpus:?}, {:?}", vcpu.id, vcpu.runstate.lock().state());
        }
    }
}

fn print_counters() {
    let counters = counters::here();
    for (number, counter) in counters.hypercalls.iter().enumerate().filter(|(_, c)| c.get() != 0) {
        info!("hypercall {number}: {}", counter.get());
    }
    for (vector, counter) in counters.exceptions.iter().enumerate().filter(|(_, c)| c.get() != 0) {
        info!("exception {vector}: {}", counter.get());
    }
    info!(
        "bounces {}, emulated {}, switches {}",
        counters.bounces.get(),
        counters.emulated.get(),
        counters.switches.get()
    );
}
