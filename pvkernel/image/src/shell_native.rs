//! `shell-native`: the teaching kernel on the bare machine, with programs from the boot module.
//!
//! `init=PATH` on the command line names the first program.
#![cfg_attr(target_os = "none", no_std)]
#![no_main]
#![deny(unsafe_code)]

use pvkernel_core::os::{self, Os, Setup};
use pvkernel_native::boot::BootInfo;
use pvkernel_native::{power, println, thread};
use zl_toolstack::archive::Archive;

pvkernel_native::entry!(run);

fn find(archive: &'static [u8], path: &[u8]) -> Option<&'static [u8]> {
    let path = core::str::from_utf8(path).ok()?;
    Archive::parse(archive).ok()?.get(path.trim_start_matches('/'))
}

fn run(boot: &'static BootInfo) -> ! {
    let init = boot.args().value("init").unwrap_or("/bin/init");
    let Some(os) = Os::leak(thread::kernel(), Setup { archive: boot.ramdisk, find }) else {
        println!("shell: this machine has no user mode");
        power::crash()
    };
    match os::run(os, init.as_bytes(), &[init.as_bytes()]) {
        Ok(status) => println!("shell: {init} ended with status {status}"),
        Err(errno) => println!("shell: {init}: {}", errno.text()),
    }
    power::poweroff()
}
