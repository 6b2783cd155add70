//! `bench [NAME...]`: what the kernel costs its programs, in the spirit of lmbench.
//!
//! A row is `bench NAME VALUE`, the ticks of the time stamp counter for one operation; where the emulator
//! counts instructions that is instructions. Each row runs a few times before it is measured, so that what
//! is kept for later is there; the value is the mean of a number of operations that makes it steady. A
//! row that cannot be measured, such as the network's without a network, is `bench NAME - WHY`.
//!
//! `bench trace [NAME...]` is for somebody who follows what the machine executes: it says `trace ready`, waits
//! for a line, runs each row between marks, and then prints `trace SAMPLES NAME:OPERATIONS` for each in the
//! order in which they ran. The first is `no_row`, marks with nothing between them.
#![cfg_attr(target_os = "none", no_std)]
#![no_main]
#![deny(unsafe_code)]

extern crate alloc;

mod files;
mod meter;
mod network;
mod processes;
#[allow(unsafe_code)]
mod ticks;

use alloc::string::String;
use core::fmt::Write;

use meter::{Cost, Meter, SAMPLES};
use pvkernel_user::io::STDIN;
use pvkernel_user::{eprintln, print, println, sys, Result};

pvkernel_user::program!(run);

/// A row: its name, and what measures it.
struct Row {
    name: &'static str,
    measure: fn(Meter) -> Result<Cost>,
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
    let (meter, names) = match args.get(1..).unwrap_or_default() {
        ["trace", names @ ..] => (Meter::Marks, names),
        names => (Meter::Counter, names),
    };
    let all = || ROWS.iter().copied().flatten();
    if let Some(unknown) = names.iter().find(|name| !all().any(|row| row.name == **name)) {
        eprintln!("bench: {unknown}: no such row");
        return 2;
    }
    let rows = all().filter(|row| names.is_empty() || names.contains(&row.name));
    let is_success = match meter {
        Meter::Counter => count(rows),
        Meter::Marks => trace(rows),
    };
    println!("ZENDO-TEST bench {}", if is_success { "SUCCESS" } else { "FAILURE" });
    i32::from(!is_success)
}

/// Prints what each row costs, as soon as it is known; whether all that could be measured was.
fn count(rows: impl Iterator<Item = &'static Row>) -> bool {
    let mut is_success = true;
    for row in rows {
        match (row.measure)(Meter::Counter) {
            Ok(cost) => println!("bench {} {}", row.name, cost.mean()),
            Err(why) => {
                println!("bench {} - {}", row.name, why.text());
                is_success &= network::is_absent(why);
            }
        }
    }
    is_success
}

/// Nothing between two marks.
const NO_ROW: &Row = &Row { name: "no_row", measure: |meter| meter.mean(1, || Ok(())) };

/// Runs the rows between marks, and prints which they were.
fn trace(rows: impl Iterator<Item = &'static Row>) -> bool {
    println!("trace ready");
    // Whatever it is, and if it is the end.
    let _ = sys::read(STDIN, &mut [0; 16]);
    let mut is_success = true;
    let mut plan = String::with_capacity(4096);
    for row in core::iter::once(NO_ROW).chain(rows) {
        // A string takes everything.
        let _ = match (row.measure)(Meter::Marks) {
            Ok(cost) => writeln!(plan, "trace {SAMPLES} {}:{}", row.name, cost.units()),
            Err(why) => {
                is_success &= network::is_absent(why);
                writeln!(plan, "bench {} - {}", row.name, why.text())
            }
        };
    }
    print!("{plan}");
    is_success
}
