//! `selftest`: every hypercall an ordinary kernel may use, every exception, every rule of the page
//! tables, and what the hypervisor must answer.
//!
//! One line per case (`case <name>: ok`, `skip`, or `FAIL expected … got …`), then one verdict line.
//! All expected values are what Xen 4.17 does; the same image runs there and on Zendo, as control
//! domain and as ordinary domain. `filter=TEXT` runs only the topics whose name contains the text.
//!
//! Each topic is a file and leaves the machine as it found it. Topics may rely on the services of
//! `pvkernel-xen` (frames, events, time) but make their calls themselves.
#![cfg_attr(target_os = "none", no_std)]
#![no_main]

extern crate alloc;

mod console;
mod contract;
mod cpuid;
mod debugreg;
mod descriptor;
mod evtchn;
mod evtchn_bind;
mod fpu;
mod grant;
mod grant_copy;
mod harness;
mod iret;
mod ldt;
mod memory;
mod misc;
mod mmu_l1;
mod mmu_pin;
mod mmu_upper;
mod mmuext;
mod msr;
mod nmi;
mod physdev;
mod pointers;
mod privileged;
mod privop;
mod probe;
mod ptwr;
mod reset;
mod sched;
mod segment;
mod timer;
mod trap;
mod upcall;
mod user;
mod usermode;
mod vcpu;
mod vcpu_info;
mod version;

use harness::Report;
use pvkernel_xen::boot::BootInfo;
use pvkernel_xen::power;
use test_guests::pages;

pvkernel_xen::entry!(run);

type Topic = (&'static str, fn(&mut Report));

/// The topics in the order in which they run: what later ones rely on comes first.
const TOPICS: &[Topic] = &[
    ("contract", contract::run),
    ("version", version::run),
    ("misc", misc::run),
    ("pointers", pointers::run),
    ("console", console::run),
    ("sched", sched::run),
    ("timer", timer::run),
    ("vcpu", vcpu::run),
    ("evtchn", evtchn::run),
    ("evtchn-bind", evtchn_bind::run),
    ("upcall", upcall::run),
    ("memory", memory::run),
    ("mmu-l1", mmu_l1::run),
    ("mmu-pin", mmu_pin::run),
    ("mmu-upper", mmu_upper::run),
    ("mmuext", mmuext::run),
    ("ptwr", ptwr::run),
    ("trap", trap::run),
    ("iret", iret::run),
    ("nmi", nmi::run),
    ("segment", segment::run),
    ("descriptor", descriptor::run),
    ("ldt", ldt::run),
    ("debugreg", debugreg::run),
    ("fpu", fpu::run),
    ("privop", privop::run),
    ("msr", msr::run),
    ("cpuid", cpuid::run),
    ("user", user::run),
    ("grant", grant::run),
    ("grant-copy", grant_copy::run),
    ("physdev", physdev::run),
    ("privileged", privileged::run),
    ("vcpu-info", vcpu_info::run),
    ("reset", reset::run),
];

fn run(boot: &'static BootInfo) -> ! {
    let filter = boot.args().value("filter");
    let mut report = Report::new(boot.is_dom0);
    probe::install();
    for (name, topic) in TOPICS {
        if filter.is_none_or(|filter| name.contains(filter)) {
            report.begin(name);
            topic(&mut report);
        }
    }
    report.finish();
    power::poweroff()
}
