//! `sleep SECONDS`: waits; parts of a second are written behind a point.
#![cfg_attr(target_os = "none", no_std)]
#![no_main]
#![deny(unsafe_code)]

use pvkernel_user::io::{complain, usage};
use pvkernel_user::sys;
use pvkernel_user::text::seconds;

pvkernel_user::program!(run);

fn run(args: &[&str]) -> i32 {
    let [_, text] = args else { return usage("sleep SECONDS") };
    let Some(duration) = seconds(text) else { return usage("sleep SECONDS, such as 1 or 0.25") };
    match sys::sleep_ns(duration) {
        Ok(()) => 0,
        Err(why) => complain(text, why),
    }
}
