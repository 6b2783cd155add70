//! `bench [NAME...]`: what the kernel costs its programs, in the spirit of lmbench.
//!
//! A row is `bench NAME VALUE`, the ticks of the time stamp counter for one operation; where the emulator
//! counts instructions that is instructions. Each row runs a few times before it is measured, so that what
//! is kept for later is there; the value is the mean of a number of operations that makes it steady. A
//! row that cannot be measured, such as the network's without a network, is `bench NAME - WHY`.
#![cfg_attr(target_os = "none", no_std)]
#![no_main]
#![deny(unsafe_code)]

extern crate alloc;

mod files;
mod network;
mod processes;
#[allow(unsafe_code)]
mod ticks;

use pvkernel_user::{eprintln, println, Result};

pvkernel_user::program!(run);

/// A row: its name, and what measures it.
struct Row {
    name: &'static str,
    measure: fn() -> Result<u64>,
}

const ROWS: &[&[Row]] = &[processes::ROWS, files::ROWS, network::ROWS];

/// Names rows after their functions.
#[macro_export]
macro_rules! rows {
    ($($name:ident,)*) => {
        pub const ROWS: &[$crate::Row] = &[$($crate::Row { name: stringify!($name), measure: $name }),*];
    };
}

fn run(args: &[&str]) -> i32 {
    if let Some(status) = processes::helper(args) {
        return status;
    }
    let names = args.get(1..).unwrap_or_default();
    let all = || ROWS.iter().copied().flatten();
    if let Some(unknown) = names.iter().find(|name| !all().any(|row| row.name == **name)) {
        eprintln!("bench: {unknown}: no such row");
        return 2;
    }
    let mut status = 0;
    for row in all().filter(|row| names.is_empty() || names.contains(&row.name)) {
        match (row.measure)() {
            Ok(ticks) => println!("bench {} {ticks}", row.name),
            Err(why) => {
                println!("bench {} - {}", row.name, why.text());
                status |= i32::from(!network::is_absent(why));
            }
        }
    }
    println!("ZENDO-TEST bench {}", if status == 0 { "SUCCESS" } else { "FAILURE" });
    status
}
