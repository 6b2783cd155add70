//! `echo [-n] WORD...`: the words with blanks between them, and the end of a line unless `-n` is given.
#![cfg_attr(target_os = "none", no_std)]
#![no_main]
#![deny(unsafe_code)]

extern crate alloc;

use pvkernel_user::io::{complain, write_all, STDOUT};

pvkernel_user::program!(run);

fn run(args: &[&str]) -> i32 {
    let words = args.get(1..).unwrap_or_default();
    let (words, end) = match words.split_first() {
        Some((&"-n", rest)) => (rest, ""),
        _ => (words, "\n"),
    };
    let line = words.join(" ") + end;
    match write_all(STDOUT, line.as_bytes()) {
        Ok(()) => 0,
        Err(why) => complain("output", why),
    }
}
