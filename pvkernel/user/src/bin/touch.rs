//! `touch FILE...`: makes files that are not there, and those that are as new as they would be then.
#![cfg_attr(target_os = "none", no_std)]
#![no_main]
#![deny(unsafe_code)]

use pvkernel_user::abi::open;
use pvkernel_user::io::{complain, usage};
use pvkernel_user::{sys, File, Result};

pvkernel_user::program!(run);

fn run(args: &[&str]) -> i32 {
    let files = args.get(1..).unwrap_or_default();
    if files.is_empty() {
        return usage("touch FILE...");
    }
    let mut status = 0;
    for path in files {
        if let Err(why) = touch(path) {
            status = complain(path, why);
        }
    }
    status
}

/// Setting a file's size changes its time, also when it is the size it has.
fn touch(path: &str) -> Result<()> {
    let file = File::open(path, open::WRITE | open::CREATE)?;
    sys::truncate(file.fd(), file.stat()?.size)
}
