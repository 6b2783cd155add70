//! What the probe does.

use core::arch::asm;

use pvkernel_core::platform::contract::{PROGRAMS, TESTS};
use pvkernel_core::platform::{Change, UserAccess};
use pvkernel_native::boot::BootInfo;

use pvkernel_native::user::tricks::{self, Trick};
use pvkernel_native::{power, println, thread, time};

use crate::devices;

/// Runs all tests.
pub(crate) fn main(boot: &'static BootInfo) -> ! {
    println!("native-probe: {} frames, words '{}'", boot.nr_pages, boot.cmdline);
    println!("native-probe: {} us after the first instruction", time::now_ns() / 1000);
    match boot.args().value("crash") {
        Some("overflow") => println!("{}", overflow(0)),
        Some("text") => write_to_code(),
        Some("data") => run_data(),
        Some("null") => read_null(),
        Some("read-user") => read_user(user_page()),
        Some("run-user") => run_user(user_page()),
        Some(other) => panic!("crash={other}: see probe.rs for what there is"),
        None => {}
    }
    let lazy = run_all();
    tricks::set(Trick::EagerFpu, true);
    let eager = run_all();
    tricks::set(Trick::EagerFpu, false);
    let (mut count, mut failed) = (lazy.0 + eager.0, lazy.1 + eager.1);
    if boot.args().has("devices") {
        let answer = devices::all();
        println!("native-probe: devices: {answer:?}");
        println!("native-probe: type a line");
        println!("native-probe: typed '{}'", devices::typed_line());
        (count, failed) = (count + 1, failed + usize::from(answer.is_err()));
    }
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

/// The address of a page that belongs to a program.
fn user_page() -> usize {
    const ADDRESS: usize = 0x40_0000;
    let platform = thread::kernel().platform();
    let user = platform.user.expect("programs");
    let frame = platform.mmu.alloc_frame().expect("a frame");
    let space = user.new_space().expect("a space");
    let page = Some((frame, UserAccess { write: true, execute: true }));
    user.write(frame, 0, &[0xc3]);
    user.change(space, &[Change { address: ADDRESS as u64, page }]).expect("a page");
    user.activate(space).expect("an active space");
    ADDRESS
}

fn read_user(address: usize) {
    // SAFETY: the kernel may not read pages of programs, so the machine stops.
    unsafe { asm!("mov al, [{}]", in(reg) address, out("al") _) };
    println!("a program's page can be read");
}

fn run_user(address: usize) {
    // SAFETY: the kernel may not run pages of programs, so the machine stops.
    unsafe { asm!("call {}", in(reg) address) };
    println!("a program's page can be run");
}
