//! `poweroff [-r]`: turns the machine off, or starts it again, with the files of disks safe.
#![cfg_attr(target_os = "none", no_std)]
#![no_main]
#![deny(unsafe_code)]

use pvkernel_user::io::{complain, usage};
use pvkernel_user::sys;

pvkernel_user::program!(run);

fn run(args: &[&str]) -> i32 {
    let reboot = match args {
        [_] => false,
        [_, "-r"] => true,
        _ => return usage("poweroff [-r]"),
    };
    complain("poweroff", sys::poweroff(reboot))
}
