//! `grep [-ivncF] PATTERN [FILE...]`: lines a pattern is in. `-i` ignores case, `-v` wants lines without it,
//! `-n` numbers them, `-c` counts them, `-F` takes the pattern as it is. Status 1 when there is no line.
#![cfg_attr(target_os = "none", no_std)]
#![no_main]
#![deny(unsafe_code)]

extern crate alloc;

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use pvkernel_user::io::{complain, output_failed, usage, Lines, Output, STDIN, STDOUT};
use pvkernel_user::regex::Pattern;
use pvkernel_user::text::options;
use pvkernel_user::{File, Result};

pvkernel_user::program!(run);

struct Wish {
    pattern: Pattern,
    letters: String,
    names: bool,
}

impl Wish {
    fn has(&self, letter: char) -> bool {
        self.letters.contains(letter)
    }
}

fn run(args: &[&str]) -> i32 {
    let parsed = options(args.get(1..).unwrap_or_default(), "ivncF");
    let Ok((letters, Some((pattern, files)))) =
        parsed.map(|(letters, rest)| (letters, rest.split_first()))
    else {
        return usage("grep [-ivncF] PATTERN [FILE...]");
    };
    let make = if letters.contains('F') { Pattern::fixed } else { Pattern::new };
    let pattern = make(pattern.as_bytes(), letters.contains('i'));
    let wish = Wish { pattern, letters, names: files.len() > 1 };
    let (mut found, mut failed) = (0, false);
    for name in if files.is_empty() { &["-"] } else { files } {
        let count = match *name {
            "-" => search(&wish, name, STDIN),
            path => File::read_only(path).and_then(|file| search(&wish, name, file.fd())),
        };
        match count {
            Ok(count) => found += count,
            Err(why) => failed = complain(name, why) != 0,
        }
    }
    match (failed, found) {
        (true, _) => 2,
        (false, 0) => 1,
        (false, _) => 0,
    }
}

fn search(wish: &Wish, name: &str, fd: u32) -> Result<u64> {
    let (mut lines, mut line, mut output) = (Lines::new(fd), Vec::new(), Output::new(STDOUT));
    let (mut number, mut found) = (0u64, 0u64);
    let prefix = if wish.names { format!("{name}:") } else { String::new() };
    while lines.next(&mut line)? {
        number += 1;
        if wish.pattern.is_in(&line) == wish.has('v') {
            continue;
        }
        found += 1;
        if wish.has('c') {
            continue;
        }
        let head = if wish.has('n') { format!("{prefix}{number}:") } else { prefix.clone() };
        line.push(b'\n');
        let written = output.write(head.as_bytes()).and_then(|()| output.write(&line));
        written.unwrap_or_else(|why| output_failed(why));
    }
    if wish.has('c') {
        let count = format!("{prefix}{found}\n");
        output.write(count.as_bytes()).unwrap_or_else(|why| output_failed(why));
    }
    output.flush().unwrap_or_else(|why| output_failed(why));
    Ok(found)
}
