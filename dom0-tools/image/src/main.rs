//! The control domain: the teaching kernel, the services, and the shell with `zl`.
//!
//! One image, started by the hypervisor as its first domain, with the boot archive as ramdisk. The
//! kernel is `pvkernel-xen`; the toolstack and the verbs are the crates beside this one. Here they
//! are put together: `transport` makes the hypercalls, `services` are threads that serve consoles
//! and watch for domains that end, `shell` is the person's thread.
//!
//! Options on the command line: `zl.run=FILE` runs the lines of a file of the archive first;
//! `zl.then=poweroff` (or `reboot`) ends the machine after it instead of giving the prompt.
//!
//! The image has no unsafe code of its own; what it needs is behind the safe API of the kernel.
#![cfg_attr(target_os = "none", no_std)]
#![no_main]
#![deny(unsafe_code)]

extern crate alloc;

mod attach;
mod blkback;
mod complaints;
mod debug;
mod devices;
mod disk_test;
mod files;
mod ip;
mod netback;
mod screen;
mod services;
mod shell;
mod steps;
mod terminal;
mod top;
mod transport;
mod watching;
mod xenstored;
mod zld;

use pvkernel_xen::boot::BootInfo;

pvkernel_xen::entry!(run);

fn run(boot: &'static BootInfo) -> ! {
    shell::greet(boot);
    devices::start(boot);
    services::start(boot);
    shell::run(boot)
}
