//! What the probe does.

use core::arch::asm;

use pvkernel_core::platform::contract::{PROGRAMS, TESTS};
use pvkernel_native::boot::BootInfo;
use pvkernel_native::{power, println, thread, user};

/// Runs all tests.
pub(crate) fn main(boot: &'static BootInfo) -> ! {
    println!("native-probe: {} frames, {:?}", boot.nr_pages, boot.args());
    match boot.args().value("crash") {
        Some("overflow") => println!("{}", overflow(0)),
        Some("text") => write_to_code(),
        Some("data") => run_data(),
        Some("null") => read_null(),
        Some(other) => panic!("crash={other}: it is overflow, text, data or null"),
        None => {}
    }
    let lazy = run_all();
    user::set_eager(true);
    let eager = run_all();
    user::set_eager(false);
    let (count, failed) = (lazy.0 + eager.0, lazy.1 + eager.1);
    let verdict = if failed == 0 { "SUCCESS" } else { "FAILURE" };
    println!("ZENDO-TEST native-probe {verdict} {failed} of {count} tests failed");
    power::poweroff()
}

/// Runs the tests; how many there are, and how many failed.
fn run_all() -> (usize, usize) {
    let mut failed = 0;
    for (name, test) in TESTS.iter().chain(PROGRAMS) {
        match test(thread::kernel()) {
            Ok(()) => println!("native-probe: {name}: ok"),
            Err(promise) => {
                println!("native-probe: {name}: broken: {promise}");
                failed += 1;
            }
        }
    }
    (TESTS.len() + PROGRAMS.len(), failed)
}

/// Uses up the stack; the page below it is not mapped.
fn overflow(depth: u64) -> u64 {
    let mut room = [depth; 64];
    core::hint::black_box(&mut room);
    if depth == u64::MAX {
        return 0;
    }
    overflow(depth + 1) + room[3]
}

fn write_to_code() {
    let code = main as *const () as usize as *mut u8;
    // SAFETY: the page cannot be written, so the machine stops.
    unsafe { code.write_volatile(0) };
    println!("code can be written");
}

fn run_data() {
    static DATA: [u8; 1] = [0xc3];
    let data = (&raw const DATA).cast::<()>();
    // SAFETY: the page cannot be run, so the machine stops.
    unsafe { asm!("call {}", in(reg) data) };
    println!("data can be run");
}

fn read_null() {
    // SAFETY: nothing is mapped there, so the machine stops.
    unsafe { asm!("mov al, [0]", out("al") _) };
    println!("address 0 can be read");
}
