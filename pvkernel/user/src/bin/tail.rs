//! `tail [-n COUNT] [FILE...]`: the last lines, 10 unless told.
#![cfg_attr(target_os = "none", no_std)]
#![no_main]
#![deny(unsafe_code)]

extern crate alloc;

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use pvkernel_user::io::{complain, output_failed, usage, Lines, Output, STDIN, STDOUT};
use pvkernel_user::text::line_count;
use pvkernel_user::{println, File, Result};

pvkernel_user::program!(run);

fn run(args: &[&str]) -> i32 {
    let Some((count, files)) = line_count(args.get(1..).unwrap_or_default()) else {
        return usage("tail [-n COUNT] [FILE...]");
    };
    let mut status = 0;
    for name in if files.is_empty() { &["-"] } else { files } {
        if files.len() > 1 {
            println!("==> {name} <==");
        }
        let last = match *name {
            "-" => last_of(STDIN, count),
            path => File::read_only(path).and_then(|file| last_of(file.fd(), count)),
        };
        match last {
            Ok(lines) => show(lines),
            Err(why) => status = complain(name, why),
        }
    }
    status
}

/// The last lines of a file. One that was left behind is where the next one goes.
fn last_of(fd: u32, count: usize) -> Result<VecDeque<Vec<u8>>> {
    let (mut lines, mut line, mut last) = (Lines::new(fd), Vec::new(), VecDeque::new());
    while lines.next(&mut line)? {
        last.push_back(core::mem::take(&mut line));
        if last.len() > count {
            line = last.pop_front().unwrap_or_default();
        }
    }
    Ok(last)
}

fn show(lines: VecDeque<Vec<u8>>) {
    let mut output = Output::new(STDOUT);
    for mut line in lines {
        line.push(b'\n');
        output.write(&line).unwrap_or_else(|why| output_failed(why));
    }
    output.flush().unwrap_or_else(|why| output_failed(why));
}
