//! `df`: room on the file systems.
#![cfg_attr(target_os = "none", no_std)]
#![no_main]
#![deny(unsafe_code)]

use pvkernel_user::io::{complain, usage};
use pvkernel_user::println;
use pvkernel_user::system::mounts;
use pvkernel_user::text::{human, padded};

pvkernel_user::program!(run);

fn run(args: &[&str]) -> i32 {
    if args.len() > 1 {
        return usage("df");
    }
    let found = match mounts() {
        Ok(found) => found,
        Err(why) => return complain("mounts", why),
    };
    println!("{:<12} {:<8} {:>7} {:>7} {:>7} PATH", "DEVICE", "KIND", "SIZE", "USED", "FREE");
    for mount in found {
        let used = human(mount.bytes.saturating_sub(mount.free));
        let (size, free) = (human(mount.bytes), human(mount.free));
        let (device, kind) = (padded(&mount.device), padded(&mount.kind));
        println!("{device:<12} {kind:<8} {size:>7} {used:>7} {free:>7} {}", padded(&mount.path));
    }
    0
}
