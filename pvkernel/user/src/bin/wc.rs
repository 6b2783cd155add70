//! `wc [-lwc] [FILE...]`: lines, words and bytes.
#![cfg_attr(target_os = "none", no_std)]
#![no_main]
#![deny(unsafe_code)]

extern crate alloc;

use alloc::format;
use alloc::string::String;

use pvkernel_user::io::{complain, usage, BUFFER, STDIN};
use pvkernel_user::text::{options, Counts};
use pvkernel_user::{println, sys, File, Result};

pvkernel_user::program!(run);

fn run(args: &[&str]) -> i32 {
    let Ok((letters, files)) = options(args.get(1..).unwrap_or_default(), "lwc") else {
        return usage("wc [-lwc] [FILE...]");
    };
    let (mut status, mut sum) = (0, Counts::default());
    for name in if files.is_empty() { &["-"] } else { files } {
        let counts = match *name {
            "-" => count(STDIN),
            path => File::read_only(path).and_then(|file| count(file.fd())),
        };
        match counts {
            Ok(counts) => {
                show(&letters, &counts, if files.is_empty() { "" } else { name });
                sum.lines += counts.lines;
                sum.words += counts.words;
                sum.bytes += counts.bytes;
            }
            Err(why) => status = complain(name, why),
        }
    }
    if files.len() > 1 {
        show(&letters, &sum, "total");
    }
    status
}

fn count(fd: u32) -> Result<Counts> {
    let (mut counts, mut part) = (Counts::default(), alloc::vec![0; BUFFER]);
    loop {
        let read = sys::read(fd, &mut part)?;
        if read == 0 {
            return Ok(counts);
        }
        counts.add(part.get(..read).unwrap_or_default());
    }
}

fn show(letters: &str, counts: &Counts, name: &str) {
    let columns = [('l', counts.lines), ('w', counts.words), ('c', counts.bytes)];
    let wanted =
        columns.iter().filter(|(letter, _)| letters.is_empty() || letters.contains(*letter));
    let line: String = wanted.map(|(_, number)| format!("{number:>8}")).collect();
    println!("{line} {name}");
}
