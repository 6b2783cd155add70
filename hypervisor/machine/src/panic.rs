//! The end of the hypervisor by its own mistake: say what is known, then stop.
//!
//! All other CPUs are stopped by NMI first. A panic inside the report only stops.

use crate::{cpu, err, irq, percpu, power};
use core::panic::PanicInfo;
use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};

/// Looked at by the NMI path of `trap.S`.
#[no_mangle]
static HV_PANICKING: AtomicU32 = AtomicU32::new(0);
/// NMIs seen that were no stop requests.
#[no_mangle]
static HV_NMI_COUNT: AtomicU32 = AtomicU32::new(0);
/// Whether a panic ends the emulator instead of halting.
static EXIT_EMULATOR: AtomicBool = AtomicBool::new(false);

/// Exit code of a panic, where the emulator is told one.
const PANIC_EXIT: u8 = 0x20;
/// Words of the stack that are looked at.
const STACK_WORDS: usize = 512;
/// Code addresses that are printed.
const TRACE_LINES: usize = 16;

extern "C" {
    static hv_image_text_start: u8;
    static hv_image_text_end: u8;
}

/// NMIs seen on all CPUs.
#[must_use]
pub fn nmi_count() -> u32 {
    HV_NMI_COUNT.load(Ordering::Relaxed)
}

/// Whether a panic is being reported.
pub(crate) fn is_under_way() -> bool {
    HV_PANICKING.load(Ordering::Relaxed) != 0
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
    irq::apic::nmi_all_others();
    err!("PANIC on CPU {}: {}", percpu::cpu_id().0, info);
    print_stack();
    (crate::hooks::hooks().epitaph)();
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
    let mut printed = 0;
    for address in (start..top).step_by(8).take(STACK_WORDS) {
        let word = core::ptr::with_exposed_provenance::<usize>(address);
        // SAFETY: between a local variable and the head of the same stack, which is mapped.
        let word = unsafe { word.read_volatile() };
        if code.contains(&word) && printed < TRACE_LINES {
            err!(" [{address:x}] {word:x}");
            printed += 1;
        }
    }
}
