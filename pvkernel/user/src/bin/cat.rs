//! `cat [FILE...]`: what is in the files, or in the input; `-` is the input.
#![cfg_attr(target_os = "none", no_std)]
#![no_main]
#![deny(unsafe_code)]

extern crate alloc;

use pvkernel_user::io::{complain, output_failed, write_all, BUFFER, STDIN, STDOUT};
use pvkernel_user::{sys, File, Result};

pvkernel_user::program!(run);

fn run(args: &[&str]) -> i32 {
    let files = args.get(1..).unwrap_or_default();
    let files = if files.is_empty() { &["-"] } else { files };
    let mut status = 0;
    for name in files {
        let done = match *name {
            "-" => copy(STDIN),
            path => File::read_only(path).and_then(|file| copy(file.fd())),
        };
        if let Err(why) = done {
            status = complain(name, why);
        }
    }
    status
}

fn copy(from: u32) -> Result<()> {
    let mut part = alloc::vec![0; BUFFER];
    loop {
        let count = sys::read(from, &mut part)?;
        if count == 0 {
            return Ok(());
        }
        if let Err(why) = write_all(STDOUT, part.get(..count).unwrap_or_default()) {
            output_failed(why);
        }
    }
}
