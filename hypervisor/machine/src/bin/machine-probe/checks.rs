//! Checks of ring 0: memory, heap, clocks, per-CPU data, interrupts, TLB requests.

use crate::ring3;
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::cell::Cell;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use hv_machine::percpu::{self, PerCpu};
use hv_machine::sync::Mutex;
use hv_machine::tlb::{self, Flush};
use hv_machine::{cpu, cpuinfo, directmap, frames, heap, info, irq, layout, power, serial, time};
use hv_machine::{BootInfo, CpuId, GuestRegs};
use hypercall_abi::Mfn;

/// Timer interrupts of each CPU.
static TIMERS: PerCpu<AtomicU32> = PerCpu::new(|| AtomicU32::new(0));
/// Kicks of each CPU.
static KICKS: PerCpu<AtomicU32> = PerCpu::new(|| AtomicU32::new(0));
/// Interrupts of the serial port.
static SERIAL: AtomicU32 = AtomicU32::new(0);
/// Data only its own CPU touches.
static STEPS: PerCpu<Cell<u32>> = PerCpu::new(|| Cell::new(0));
/// CPUs that have finished.
static DONE: AtomicU64 = AtomicU64::new(0);
/// Held while others are asked to flush.
static FLUSH_COUNT: Mutex<u32> = Mutex::new(0);
const FLUSH_ROUNDS: u32 = 24;

pub extern "C" fn boot(boot_info: &'static BootInfo) {
    let entered = cpu::rdtsc() - boot_info.entry_tsc;
    info!("machine-probe '{}', {entered} ticks after entry", boot_info.cmdline);
    for region in &boot_info.memory_map {
        info!("{:012x}+{:x} kind {}", region.start(), region.bytes(), region.kind);
    }
    for module in &boot_info.modules {
        let mut first = [0; 4];
        directmap::read_bytes(module.start_mfn, 0, &mut first);
        info!("module '{}' {} bytes {:02x?}", module.string, module.len, first);
    }
    let ram = frames::total_ram_pages();
    let (secs, ns) = time::wallclock_at_boot();
    info!("{} CPUs, {} KiB, {} KiB free", percpu::nr_cpus(), ram * 4, frames::free_count() * 4);
    info!("TSC {} kHz, boot at {secs}.{ns:09}", time::tsc_scale().khz);
    check_frames();
    check_heap();
    info!("checks took {} us", time::now_ns() / 1000);
    for word in boot_info.cmdline.split_ascii_whitespace() {
        on_request(word);
    }
}

/// What only some runs do: end in one of the ways a mistake ends, or wait for input.
fn on_request(word: &str) {
    match word {
        "panic" => panic!("asked to"),
        "fault" => {
            let nowhere = core::ptr::with_exposed_provenance::<u64>(0xffff_82d0_0000_0000);
            // SAFETY: not at all: this is the fault the run asks for, and it ends the program.
            let value = unsafe { nowhere.read_volatile() };
            info!("read {value}");
        }
        "overflow" => info!("recursion gave {}", overflow(1)),
        "poweroff" => power::poweroff(),
        "reboot" => power::reboot(),
        "serial" => await_input(),
        _ => {}
    }
}

/// Uses up the stack.
#[inline(never)]
fn overflow(depth: u64) -> u64 {
    let frame = core::hint::black_box([depth; 64]);
    if depth > 100_000 {
        return frame[3];
    }
    overflow(depth + 1) + core::hint::black_box(&frame)[7]
}

fn await_input() {
    while SERIAL.load(Ordering::SeqCst) == 0 {
        cpu::idle_wait();
    }
    while let Some(byte) = serial::read_byte() {
        info!("received {byte:#x}");
    }
}

fn check_frames() {
    let before = frames::free_count();
    let blocks: Vec<Mfn> = (0..6).map(|order| frames::alloc(order).expect("memory")).collect();
    assert_eq!(blocks.iter().filter(|mfn| !frames::is_ram(**mfn)).count(), 0);
    directmap::zero(blocks[0]);
    directmap::write_bytes(blocks[0], 5, b"hello");
    directmap::copy(blocks[1], blocks[0]);
    assert_eq!(directmap::table(blocks[1])[0].load(Ordering::Relaxed) >> 40, 0x006c_6568);
    frames::m2p_set(blocks[0], 77);
    assert_eq!([blocks[0], blocks[1]].map(m2p_entry), [77, frames::M2P_INVALID]);
    assert!(!frames::is_ram(Mfn::new(0xb8)), "video memory is no RAM");
    assert!(frames::alloc_below(0, 32).inspect(|mfn| frames::free(*mfn, 0)).is_some());
    blocks.iter().enumerate().for_each(|(order, mfn)| frames::free(*mfn, order as u32));
    let held: u64 = u64::from(heap::stats().slab_pages > 0);
    drop(blocks);
    assert!(frames::free_count() + held >= before, "frames were lost");
}

/// An entry of the machine-to-physical table, where the hypervisor itself writes it: guests' view of it
/// is out of its own reach where the CPU has SMAP.
fn m2p_entry(mfn: Mfn) -> u64 {
    let entry = layout::M2P_WRITE_BASE + mfn.get() * 8;
    // SAFETY: the frame is RAM, so the table is mapped there.
    unsafe { core::ptr::with_exposed_provenance::<u64>(entry as usize).read_volatile() }
}

fn check_heap() {
    let (stats, free) = (heap::stats(), frames::free_count());
    let mut kept: Vec<Box<[u8]>> = Vec::new();
    for round in 0..400_usize {
        let size = round * 37 % 9000 + 1;
        kept.push(alloc::vec![round as u8; size].into_boxed_slice());
        if round % 3 == 0 {
            kept.swap_remove(round % kept.len());
        }
    }
    let intact = |block: &[u8]| block.iter().all(|byte| *byte == block[0]);
    assert!(kept.iter().all(|block| intact(block)), "heap blocks overlap");
    drop(kept);
    assert_eq!((heap::stats(), frames::free_count()), (stats, free), "heap did not give all back");
}

pub extern "C" fn interrupt(vector: u8) {
    match vector {
        irq::VEC_TIMER => TIMERS.get().fetch_add(1, Ordering::SeqCst),
        irq::VEC_SERIAL => SERIAL.fetch_add(1, Ordering::SeqCst),
        irq::VEC_KICK => KICKS.get().fetch_add(1, Ordering::SeqCst),
        _ => 0,
    };
    ring3::on_interrupt(vector);
}

/// Every CPU comes here first; the first one goes on into ring 3.
pub extern "C" fn exit_work(regs: &mut GuestRegs, _: &mut ()) {
    let bits = cpuinfo::take_work();
    assert_eq!(bits, cpuinfo::WORK_SCHEDULE, "nobody asked for it");
    timer_fires();
    flushes_are_answered();
    DONE.fetch_or(percpu::cpu_id().mask(), Ordering::SeqCst);
    if percpu::cpu_id().0 != 0 {
        loop {
            cpu::idle_wait();
        }
    }
    while DONE.load(Ordering::SeqCst) != percpu::online_mask() {
        tlb::service();
        core::hint::spin_loop();
    }
    info!("flush rounds {}", FLUSH_COUNT.lock());
    kicks_arrive();
    ring3::enter(regs);
}

fn timer_fires() {
    STEPS.get().set(STEPS.get().get() + 1);
    let deadline = time::now_ns() + 50_000;
    time::arm_timer(deadline);
    while TIMERS.get().load(Ordering::SeqCst) == 0 {
        cpu::idle_wait();
    }
    assert!(time::now_ns() >= deadline, "the timer fired early");
    assert_eq!(STEPS.get().get(), 1, "per-CPU data is shared");
}

/// All CPUs ask all others, holding a lock that the others wait for.
fn flushes_are_answered() {
    for round in 0..FLUSH_ROUNDS {
        let mut count = FLUSH_COUNT.lock();
        *count += 1;
        let stamp = tlb::stamp_now();
        let what = if round % 2 == 0 { Flush::All } else { Flush::Page(0x1234_5000) };
        tlb::flush_cpus(u64::MAX, what);
        if what == Flush::All {
            assert_eq!(tlb::filter(percpu::online_mask(), stamp), 0, "a CPU did not flush");
        }
    }
}

fn kicks_arrive() {
    for cpu in (1..percpu::nr_cpus()).map(CpuId) {
        let before = KICKS.of(cpu).load(Ordering::SeqCst);
        irq::kick(cpu);
        while KICKS.of(cpu).load(Ordering::SeqCst) == before {
            core::hint::spin_loop();
        }
    }
}

/// Nothing is kept for a CPU.
pub extern "C" fn current() -> &'static mut () {
    alloc::boxed::Box::leak(alloc::boxed::Box::new(()))
}

/// Ends the program.
pub fn finish() -> ! {
    info!("machine-probe: ok");
    power::debug_exit(0x10);
    power::poweroff()
}
