//! `spinner`: prints a line and never gives the processor up.
//!
//! The neighbour from hell: events stay masked and no hypercall is made. Others must not notice.
#![cfg_attr(target_os = "none", no_std)]
#![no_main]

use pvkernel_xen::boot::BootInfo;
use pvkernel_xen::{event, println};

pvkernel_xen::entry!(run);

fn run(_: &'static BootInfo) -> ! {
    println!("spinning");
    event::mask_upcalls();
    loop {
        core::hint::spin_loop();
    }
}
