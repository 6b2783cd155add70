#![cfg_attr(target_os = "none", no_std, no_main)]
//! A program that proves that the kernel keeps its contract on the bare machine, without any program
//! of a user.
//!
//! Runs every test of `platform::contract` and of this machine's own, says how each ended, and
//! ends with the line all test guests end with. With `devices` on its command line it tries those of the
//! machine, too; with `crash=...` it does something that must stop it, instead.

#[cfg(not(target_os = "none"))]
fn main() {
    println!("native-probe runs on the bare machine only: cargo xtask builds and starts it");
}

#[cfg(target_os = "none")]
extern crate alloc;

#[cfg(target_os = "none")]
mod devices;
#[cfg(target_os = "none")]
mod probe;

#[cfg(target_os = "none")]
pvkernel_native::entry!(probe::main);
