//! `uptime`: the date, and how long the kernel runs.
#![cfg_attr(target_os = "none", no_std)]
#![no_main]
#![deny(unsafe_code)]

use pvkernel_user::io::{complain, usage};
use pvkernel_user::text::date;
use pvkernel_user::{println, sys};

pvkernel_user::program!(run);

fn run(args: &[&str]) -> i32 {
    if args.len() > 1 {
        return usage("uptime");
    }
    let up = sys::clock_ns() / 1_000_000;
    let (days, hours, minutes) = (up / 86_400_000, up / 3_600_000 % 24, up / 60_000 % 60);
    let seconds = up / 1000 % 60;
    match sys::wall_clock() {
        Ok([now, _]) => {
            let (date, millis) = (date(now), up % 1000);
            println!("{date} up {days} days {hours:02}:{minutes:02}:{seconds:02}.{millis:03}");
            0
        }
        Err(why) => complain("clock", why),
    }
}
