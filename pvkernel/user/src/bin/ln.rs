//! `ln OLD NEW`: gives a file one more name.
#![cfg_attr(target_os = "none", no_std)]
#![no_main]
#![deny(unsafe_code)]

extern crate alloc;

use alloc::string::ToString;

use pvkernel_user::file::is_directory;
use pvkernel_user::io::{complain, usage};
use pvkernel_user::sys;
use pvkernel_user::text::{base_name, join};

pvkernel_user::program!(run);

fn run(args: &[&str]) -> i32 {
    let [_, old, new] = args else { return usage("ln OLD NEW") };
    let new = if is_directory(new) { join(new, base_name(old)) } else { new.to_string() };
    match sys::link(old.as_bytes(), new.as_bytes()) {
        Ok(()) => 0,
        Err(why) => complain(new, why),
    }
}
