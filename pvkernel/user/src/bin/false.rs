//! `false`: failure.
#![cfg_attr(target_os = "none", no_std)]
#![no_main]
#![deny(unsafe_code)]

pvkernel_user::program!(run);

fn run(_args: &[&str]) -> i32 {
    1
}
