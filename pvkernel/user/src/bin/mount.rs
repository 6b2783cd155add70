//! `mount`: what is mounted; `mount DEVICE PATH` mounts the ext4 on a disk.
#![cfg_attr(target_os = "none", no_std)]
#![no_main]
#![deny(unsafe_code)]

use pvkernel_user::io::{complain, usage};
use pvkernel_user::system::mounts;
use pvkernel_user::text::padded;
use pvkernel_user::{println, sys};

pvkernel_user::program!(run);

fn run(args: &[&str]) -> i32 {
    match args {
        [_] => list(),
        [_, device, path] => match sys::mount(device.as_bytes(), path.as_bytes()) {
            Ok(()) => 0,
            Err(why) => complain(device, why),
        },
        _ => usage("mount [DEVICE PATH]"),
    }
}

fn list() -> i32 {
    let found = match mounts() {
        Ok(found) => found,
        Err(why) => return complain("mounts", why),
    };
    for mount in found {
        let access = if mount.read_only == 1 { "read-only" } else { "read-write" };
        let (device, path) = (padded(&mount.device), padded(&mount.path));
        println!("{device} on {path} ({}, {access})", padded(&mount.kind));
    }
    0
}
