//! `umount PATH`: undoes `mount`.
#![cfg_attr(target_os = "none", no_std)]
#![no_main]
#![deny(unsafe_code)]

use pvkernel_user::io::{complain, usage};
use pvkernel_user::sys;

pvkernel_user::program!(run);

fn run(args: &[&str]) -> i32 {
    let [_, path] = args else { return usage("umount PATH") };
    match sys::umount(path.as_bytes()) {
        Ok(()) => 0,
        Err(why) => complain(path, why),
    }
}
