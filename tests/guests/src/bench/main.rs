//! `bench`: what each operation costs that a PV kernel asks of its hypervisor.
//!
//! Runs in dom0's place on Zendo and on Xen, and as ordinary domain; the same file everywhere. Each
//! topic is a file; `meter` says how a row is measured and what is printed. Words of the command
//! line:
//!
//! - `rows=NAME+NAME+PREFIX*`: only these rows.
//! - `trace`: do each operation a few times between two marks, for a reader of QEMU's execution
//!   log, instead of measuring it; waits for a typed byte first.
//!
//! Under `-icount shift=0,sleep=off` the time stamp counter ticks once per instruction, guest and
//! hypervisor together, and the numbers are exact. Nothing is subtracted from any row.
#![cfg_attr(target_os = "none", no_std)]
#![no_main]

extern crate alloc;

mod batch;
mod calls;
mod channel;
mod emulate;
mod evtchn;
mod exceptions;
mod grant;
mod handlers;
mod meter;
mod mmu;
mod mmuext;
mod pin;
mod ptwr;
mod reservation;
mod sched;
mod timer;
mod user;
mod uvm;
mod versus;

use meter::Meter;
use pvkernel_xen::boot::BootInfo;
use pvkernel_xen::{power, println};

pvkernel_xen::entry!(run);

/// The topics in the order in which they run. Each leaves the machine as it found it.
const TOPICS: &[fn(&mut Meter)] = &[
    calls::run,
    batch::run,
    exceptions::run,
    emulate::run,
    user::run,
    evtchn::run,
    sched::run,
    timer::run,
    grant::run,
    reservation::run,
    mmu::run,
    uvm::run,
    ptwr::run,
    mmuext::run,
    pin::run,
    versus::run,
];

fn run(boot: &'static BootInfo) -> ! {
    let mut meter = Meter::new(&boot.args());
    meter.begin();
    for topic in TOPICS {
        topic(&mut meter);
    }
    println!("ZENDO-TEST bench {}", meter.verdict());
    power::poweroff()
}
