//! `ticker`: a line each second, for ever.
//!
//! Shows that a domain keeps time and gets the processor while others do what they like, and ends when
//! the tools ask for it.
#![cfg_attr(target_os = "none", no_std)]
#![no_main]

use pvkernel_xen::boot::BootInfo;
use pvkernel_xen::{println, services, thread, time};

pvkernel_xen::entry!(run);

const SECOND_NS: u64 = 1_000_000_000;

fn run(_: &'static BootInfo) -> ! {
    services::start();
    let start_ns = time::now_ns();
    for tick in 1u64.. {
        thread::sleep_until(start_ns + tick * SECOND_NS);
        println!("tick {tick}");
    }
    unreachable!("the end of time")
}
