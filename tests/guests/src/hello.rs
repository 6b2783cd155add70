//! `hello`: says hello and switches off.
//!
//! The smallest complete guest: it proves that a domain was built, got a console, and ended.
#![cfg_attr(target_os = "none", no_std)]
#![no_main]

use pvkernel_xen::boot::BootInfo;
use pvkernel_xen::{hypercall::version, power, println};

pvkernel_xen::entry!(run);

fn run(boot: &'static BootInfo) -> ! {
    let version = version::version();
    println!(
        "hello from a domain with {} pages on Xen {}.{}",
        boot.nr_pages,
        version >> 16,
        version & 0xffff
    );
    println!("ZENDO-TEST hello SUCCESS");
    power::poweroff()
}
