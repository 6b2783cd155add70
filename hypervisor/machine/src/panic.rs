//! The end of the hypervisor by its own mistake: say what is known, then stop.
//!
//! All other CPUs are stopped by NMI first. A panic inside the report only stops.

use crate::irq::apic;
use crate::{cpu, err, log, percpu, power};
use core::panic::PanicInfo;
use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};

/// Looked at by the NMI path of `trap.S`.
#[no_mangle]
static HV_PANICKING: AtomicU32 = AtomicU32::new(0);
/// Whether a panic ends the emulator instead of halting.
static EXIT_EMULATOR: AtomicBool = AtomicBool::new(false);

/// Exit code of a panic, where the emulator is told one.
const PANIC_EXIT: u8 = 0x20;
/// Looks at nothing while the other CPUs stop.
const STOP_LOOKS: u32 = 100_000;
/// Words of the stack that are looked at.
const STACK_WORDS: usize = 512;
/// Code addresses that are printed.
const TRACE_LINES: usize = 16;

extern "C" {
    static hv_image_text_start: u8;
    static hv_image_text_end: u8;
}

/// Makes a panic end the emulator.
pub(crate) fn exit_emulator_on_panic() {
    EXIT_EMULATOR.store(true, Ordering::Relaxed);
}

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    if HV_PANICKING.swap(1, Ordering::SeqCst) != 0 {
        power::halt();
    }
    apic::send_all_others(apic::NMI);
    // Time for the others to stop.
    cpu::spin_until(STOP_LOOKS, || false);
    // SAFETY: they have; and this CPU does not return from here.
    unsafe { log::break_lock() };
    err!("PANIC on CPU {}: {}", percpu::cpu_id().0, info);
    print_stack();
    if EXIT_EMULATOR.load(Ordering::Relaxed) {
        power::debug_exit(PANIC_EXIT);
    }
    err!("stopped; cr3 {:x}", cpu::current_root());
    power::halt()
}

/// Prints the words of the stack that are code addresses: callers, and some that are no more.
fn print_stack() {
    let here = 0_u64;
    let start = (&raw const here).addr();
    let top = percpu::info_ptr().addr();
    let code = (&raw const hv_image_text_start).addr()..(&raw const hv_image_text_end).addr();
    let words = (start..top).step_by(8).take(STACK_WORDS).map(|address| {
        let word = core::ptr::with_exposed_provenance::<usize>(address);
        // SAFETY: between a local variable and the head of the same stack, which is mapped.
        (address, unsafe { word.read_volatile() })
    });
    for (address, word) in words.filter(|(_, word)| code.contains(word)).take(TRACE_LINES) {
        err!(" [{address:x}] {word:x}");
    }
}
