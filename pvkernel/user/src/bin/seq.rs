//! `seq [FIRST] LAST`: whole numbers, a line each.
#![cfg_attr(target_os = "none", no_std)]
#![no_main]
#![deny(unsafe_code)]

extern crate alloc;

use alloc::format;

use pvkernel_user::io::{output_failed, usage, Output, STDOUT};

pvkernel_user::program!(run);

fn run(args: &[&str]) -> i32 {
    let (first, last) = match args.get(1..).unwrap_or_default() {
        [last] => ("1", *last),
        [first, last] => (*first, *last),
        _ => return usage("seq [FIRST] LAST"),
    };
    let (Ok(first), Ok(last)) = (first.parse::<i64>(), last.parse::<i64>()) else {
        return usage("seq [FIRST] LAST: whole numbers");
    };
    let mut output = Output::new(STDOUT);
    for number in first..=last {
        let written = output.write(format!("{number}\n").as_bytes());
        written.unwrap_or_else(|why| output_failed(why));
    }
    output.flush().unwrap_or_else(|why| output_failed(why));
    0
}
