//! `head [-n COUNT] [FILE...]`: the first lines, 10 unless told.
#![cfg_attr(target_os = "none", no_std)]
#![no_main]
#![deny(unsafe_code)]

extern crate alloc;

use alloc::vec::Vec;

use pvkernel_user::io::{complain, output_failed, usage, Lines, Output, STDIN, STDOUT};
use pvkernel_user::text::line_count;
use pvkernel_user::{println, File, Result};

pvkernel_user::program!(run);

fn run(args: &[&str]) -> i32 {
    let Some((count, files)) = line_count(args.get(1..).unwrap_or_default()) else {
        return usage("head [-n COUNT] [FILE...]");
    };
    let mut status = 0;
    for name in if files.is_empty() { &["-"] } else { files } {
        if files.len() > 1 {
            println!("==> {name} <==");
        }
        let done = match *name {
            "-" => show(STDIN, count),
            path => File::read_only(path).and_then(|file| show(file.fd(), count)),
        };
        if let Err(why) = done {
            status = complain(name, why);
        }
    }
    status
}

fn show(fd: u32, count: usize) -> Result<()> {
    let (mut lines, mut line, mut output) = (Lines::new(fd), Vec::new(), Output::new(STDOUT));
    for _ in 0..count {
        if !lines.next(&mut line)? {
            break;
        }
        line.push(b'\n');
        output.write(&line).unwrap_or_else(|why| output_failed(why));
    }
    output.flush().unwrap_or_else(|why| output_failed(why));
    Ok(())
}
