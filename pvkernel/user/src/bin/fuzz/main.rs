//! .
#![cfg_attr(target_os = "none", no_std)]
#![no_main]
pvkernel_user::program!(run);
fn run(_args: &[&str]) -> i32 {
    0
}
