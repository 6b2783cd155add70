//! `date`: day and time of day.
#![cfg_attr(target_os = "none", no_std)]
#![no_main]
#![deny(unsafe_code)]

use pvkernel_user::io::{complain, usage};
use pvkernel_user::text::date;
use pvkernel_user::{println, sys};

pvkernel_user::program!(run);

fn run(args: &[&str]) -> i32 {
    if args.len() > 1 {
        return usage("date");
    }
    match sys::wall_clock() {
        Ok([seconds, _]) => {
            println!("{}:{:02} UTC", date(seconds), seconds % 60);
            0
        }
        Err(why) => complain("clock", why),
    }
}
