//! `kill PID...`: ends processes.
#![cfg_attr(target_os = "none", no_std)]
#![no_main]
#![deny(unsafe_code)]

use pvkernel_user::io::{complain, usage};
use pvkernel_user::{sys, Errno};

pvkernel_user::program!(run);

fn run(args: &[&str]) -> i32 {
    let pids = args.get(1..).unwrap_or_default();
    if pids.is_empty() {
        return usage("kill PID...");
    }
    let mut status = 0;
    for text in pids {
        let killed = text.parse().map_err(|_| Errno::EINVAL).and_then(sys::kill);
        if let Err(why) = killed {
            status = complain(text, why);
        }
    }
    status
}
