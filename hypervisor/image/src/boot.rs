//! The boot order, one line per step; debug keys.

use core::sync::atomic::Ordering;
use hv_machine::boot::BootInfo;
use hv_machine::percpu;
use hv_machine::sync::Once;
use hv_machine::{cpu, frames, heap, info, warn};
use hypercall_abi::memory::E820Entry;

use crate::counters::{read, Counters};
use crate::domain::{table, vcpu::NO_CPU};
use crate::{dom0, options, sched};

static BOOT: Once<&'static BootInfo> = Once::new();

/// What the boot loader handed over.
pub fn boot_info() -> &'static BootInfo {
    BOOT.get().expect("boot information is used after it was there")
}

/// The machine's memory map.
pub fn memory_map() -> impl ExactSizeIterator<Item = E820Entry> {
    boot_info().memory_map.iter().copied()
}

/// Boots: the machine is ready, all CPUs run.
pub extern "C" fn boot(boot: &'static BootInfo) {
    BOOT.call_once(|| boot);
    options::parse(boot.cmdline, |word| warn!("command line: `{word}` means nothing here"));
    let mib = frames::total_ram_pages() >> 8;
    info!("Zendo {}: {} CPUs, {mib} MiB", env!("CARGO_PKG_VERSION"), percpu::nr_cpus());
    sched::init();
    if let Err(error) = dom0::start(boot) {
        panic!("dom0 cannot be started: {error}");
    }
    let ticks = cpu::rdtsc().wrapping_sub(boot.entry_tsc);
    info!("dom0 starts after {ticks} TSC ticks");
}

/// Prints something about the hypervisor, as the debug keys of Xen do.
pub fn debug_key(key: u8) {
    match key {
        b'h' => info!("debug keys: q domains, m memory, c counters, h this list"),
        b'q' => print_domains(),
        b'm' => {
            info!("{} frames free of {}", frames::free_count(), frames::total_ram_pages());
            let stats = heap::stats();
            info!("heap: {} objects, {} bytes", stats.objects, stats.bytes);
            info!("heap: {} slab and {} large pages", stats.slab_pages, stats.large_pages);
        }
        b'c' => print_counters(),
        _ => info!("no debug key `{}`; h lists them", key.escape_ascii()),
    }
}

fn print_domains() {
    for dom in table::all() {
        let (pages, ports) = (dom.pages.lock().tot, dom.ports.lock().table.live());
        let pauses = dom.pause_count.load(Ordering::Relaxed);
        info!("domain {}: {pages} pages, {ports} ports, {pauses} pauses", dom.id);
        for vcpu in &dom.vcpus {
            let cpu = Some(vcpu.cpu.load(Ordering::Relaxed)).filter(|cpu| *cpu != NO_CPU);
            info!("  vCPU {} on CPU {cpu:?}, {:?}", vcpu.id, vcpu.runstate.lock().state());
        }
    }
}

fn print_counters() {
    for dom in table::all() {
        for vcpu in &dom.vcpus {
            info!("domain {} vCPU {}:", dom.id, vcpu.id);
            print_counters_of(&vcpu.counters);
        }
    }
}

fn print_counters_of(all: &Counters) {
    for (kind, counters) in [("hypercall", &all.hypercalls[..]), ("exception", &all.exceptions)] {
        for (number, counter) in counters.iter().enumerate().filter(|(_, c)| read(c) != 0) {
            info!("{kind} {number}: {}", read(counter));
        }
    }
    let [bounces, emulated, switches] = [&all.bounces, &all.emulated, &all.switches].map(read);
    info!("bounces {bounces}, emulated {emulated}, switches {switches}");
}
