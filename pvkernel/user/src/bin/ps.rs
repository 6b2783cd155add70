//! `ps`: the processes.
#![cfg_attr(target_os = "none", no_std)]
#![no_main]
#![deny(unsafe_code)]

use pvkernel_user::abi::ProcessState;
use pvkernel_user::io::{complain, usage};
use pvkernel_user::println;
use pvkernel_user::system::processes;
use pvkernel_user::text::{millis, padded};

pvkernel_user::program!(run);

fn run(args: &[&str]) -> i32 {
    if args.len() > 1 {
        return usage("ps");
    }
    let found = match processes() {
        Ok(found) => found,
        Err(why) => return complain("processes", why),
    };
    println!(
        "{:>5} {:>6} {:<5} {:>5} {:>6} {:>10} NAME",
        "PID", "PARENT", "STATE", "FILES", "PAGES", "TIME(ms)"
    );
    for process in found {
        let state = match process.state {
            state if state == ProcessState::Running as u32 => "run",
            state if state == ProcessState::Sleeping as u32 => "sleep",
            state if state == ProcessState::Ended as u32 => "ended",
            _ => "?",
        };
        let (pid, parent) = (process.pid, process.parent);
        let (files, pages) = (process.descriptors, process.pages);
        let (time, name) = (millis(process.run_ns), padded(&process.name));
        println!("{pid:>5} {parent:>6} {state:<5} {files:>5} {pages:>6} {time:>10} {name}");
    }
    0
}
