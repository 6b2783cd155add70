//! `mv FROM TO` or `mv FROM... FOLDER`: gives files another name.
#![cfg_attr(target_os = "none", no_std)]
#![no_main]
#![deny(unsafe_code)]

extern crate alloc;

use alloc::string::ToString;

use pvkernel_user::file::is_directory;
use pvkernel_user::io::{complain, usage};
use pvkernel_user::text::{base_name, join};
use pvkernel_user::{sys, Errno};

pvkernel_user::program!(run);

fn run(args: &[&str]) -> i32 {
    let Some((to, from)) = args.get(1..).unwrap_or_default().split_last() else {
        return usage("mv FROM... TO");
    };
    let into = is_directory(to);
    match from.len() {
        0 => return usage("mv FROM... TO"),
        1 => {}
        _ if !into => return complain(to, Errno::ENOTDIR),
        _ => {}
    }
    let mut status = 0;
    for path in from {
        let to = if into { join(to, base_name(path)) } else { to.to_string() };
        if let Err(why) = sys::rename(path.as_bytes(), to.as_bytes()) {
            status = complain(path, why);
        }
    }
    status
}
