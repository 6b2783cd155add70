//! `free`: memory, in KiB.
#![cfg_attr(target_os = "none", no_std)]
#![no_main]
#![deny(unsafe_code)]

use pvkernel_user::io::{complain, usage};
use pvkernel_user::{println, sys};

pvkernel_user::program!(run);

fn run(args: &[&str]) -> i32 {
    if args.len() > 1 {
        return usage("free");
    }
    let memory = match sys::memory() {
        Ok(memory) => memory,
        Err(why) => return complain("memory", why),
    };
    let rows = [
        ("total", memory.total),
        ("free", memory.free),
        ("programs", memory.user),
        ("page tables", memory.tables),
        ("kernel heap", memory.heap),
    ];
    for (name, pages) in rows {
        println!("{name:<12} {:>9} KiB {pages:>8} pages", pages * 4);
    }
    0
}
