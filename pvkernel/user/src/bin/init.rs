//! `init [WORD...]`: the first process. Makes `/dev/console` the first three descriptors, runs a shell again
//! and again, and asks for the ends of processes that lost their parent.
//!
//! The kernel hands it its own command line after `--`, or nothing. With words it runs them as one line
//! of the shell, says `init: done, status N`, and turns the machine off. It never ends itself; when nothing
//! can be started it says so and stops trying.
#![cfg_attr(target_os = "none", no_std)]
#![no_main]
#![deny(unsafe_code)]

extern crate alloc;

use alloc::string::String;

use pvkernel_user::abi::open;
use pvkernel_user::process::{spawn, wait_any, Status};
use pvkernel_user::{eprintln, println, sys, Errno};

pvkernel_user::program!(run);

/// Shells that end at once, in a row, before it is given up.
const MAX_SHORT: u32 = 5;
/// A shell that lived longer did its work.
const SHORT_NS: u64 = 200_000_000;
/// So long it waits when there is nothing to do.
const IDLE_NS: u64 = 60_000_000_000;

fn run(args: &[&str]) -> i32 {
    open_console();
    let words = args.get(1..).unwrap_or_default();
    match words.is_empty() {
        true => serve(),
        false => run_once(&words.join(" ")),
    }
}

/// Without a console nobody reads a complaint either, so this one goes on.
fn open_console() {
    if sys::fstat(0).is_ok() {
        return;
    }
    let Ok(fd) = sys::open(b"/dev/console", open::READ | open::WRITE) else { return };
    while sys::dup(fd, None).is_ok_and(|copy| copy < 2) {}
}

/// A shell, and when it ends another.
fn serve() -> ! {
    let mut short = 0;
    while short < MAX_SHORT {
        let started = sys::clock_ns();
        match spawn(&["sh"]) {
            Ok(pid) => {
                reap_until(pid);
            }
            Err(why) => eprintln!("init: sh: {}", why.text()),
        }
        short = if sys::clock_ns() - started < SHORT_NS { short + 1 } else { 0 };
    }
    eprintln!("init: the shell ended {MAX_SHORT} times at once: no more are started");
    idle()
}

/// A line of the shell, then the end.
fn run_once(line: &str) -> ! {
    let status = match spawn(&["sh", "-c", line]) {
        Ok(pid) => reap_until(pid),
        Err(why) => {
            eprintln!("init: sh: {}", why.text());
            Status(1)
        }
    };
    println!("init: done, {status}");
    let why = sys::poweroff(false);
    eprintln!("init: poweroff: {}", why.text());
    idle()
}

/// Asks for all ends, until the one of this child comes.
fn reap_until(pid: u32) -> Status {
    loop {
        match wait_any() {
            Ok((ended, status)) if ended == pid => return status,
            Ok(_) => {}
            Err(why) => {
                eprintln!("init: wait: {}", why.text());
                return Status(Errno::ECHILD as i32);
            }
        }
    }
}

/// Orphans still come here.
fn idle() -> ! {
    let mut complained = String::new();
    loop {
        while wait_any().is_ok() {}
        if let Err(why) = sys::sleep_ns(IDLE_NS) {
            // Said once: it would be said for ever.
            if complained != why.name() {
                complained = why.name().into();
                eprintln!("init: sleep: {}", why.text());
            }
            sys::yield_now();
        }
    }
}
