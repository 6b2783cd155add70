//! `sort [-nru] [FILE...]`: the lines of all files in order. `-n` by the numbers they begin with, `-r` the last
//! first, `-u` each once.
#![cfg_attr(target_os = "none", no_std)]
#![no_main]
#![deny(unsafe_code)]

extern crate alloc;

use pvkernel_user::io::{complain, output_failed, usage, Output, STDIN, STDOUT};
use pvkernel_user::text::{options, sorted};
use pvkernel_user::File;

pvkernel_user::program!(run);

/// Bytes that are sorted at most.
const MAX_BYTES: usize = 16 << 20;

fn run(args: &[&str]) -> i32 {
    let Ok((letters, files)) = options(args.get(1..).unwrap_or_default(), "nru") else {
        return usage("sort [-nru] [FILE...]");
    };
    let mut text = alloc::vec::Vec::new();
    for name in if files.is_empty() { &["-"] } else { files } {
        let room = MAX_BYTES - text.len().min(MAX_BYTES);
        let read = match *name {
            "-" => {
                let input = File::of(STDIN);
                let read = input.rest(room);
                // It is not this program's to close.
                let _ = input.into_fd();
                read
            }
            path => File::read_only(path).and_then(|file| file.rest(room)),
        };
        match read {
            Ok(more) => text.extend(more),
            Err(why) => return complain(name, why),
        }
        if text.last().is_some_and(|last| *last != b'\n') {
            text.push(b'\n');
        }
    }
    let has = |letter| letters.contains(letter);
    let mut output = Output::new(STDOUT);
    for line in sorted(&text, has('n'), has('r'), has('u')) {
        let written = output.write(line).and_then(|()| output.write(b"\n"));
        written.unwrap_or_else(|why| output_failed(why));
    }
    output.flush().unwrap_or_else(|why| output_failed(why));
    0
}
