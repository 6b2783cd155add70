//! `hello`: says hello and switches off.
//!
//! The smallest complete guest: it proves that a domain was built, got a console, and ended. With
//! the word `stay` on its command line it waits for ever instead: a domain that only takes room.
#![cfg_attr(target_os = "none", no_std)]
#![no_main]

use pvkernel_xen::boot::BootInfo;
use pvkernel_xen::{hypercall::version, power, println, thread};

pvkernel_xen::entry!(run);

fn run(boot: &'static BootInfo) -> ! {
    let version = version::version();
    println!(
        "hello from a domain with {} pages on Xen {}.{}; first instruction at tick {}",
        boot.nr_pages,
        version >> 16,
        version & 0xffff,
        boot.entry_tsc
    );
    println!("ZENDO-TEST hello SUCCESS");
    if boot.args().has("stay") {
        thread::sleep_until(u64::MAX);
    }
    power::poweroff()
}
