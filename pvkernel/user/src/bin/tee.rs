//! `tee [-a] [FILE...]`: the input to the output and to files; `-a` behind what is in them.
#![cfg_attr(target_os = "none", no_std)]
#![no_main]
#![deny(unsafe_code)]

extern crate alloc;

use alloc::vec::Vec;

use pvkernel_user::abi::open;
use pvkernel_user::io::{complain, output_failed, usage, write_all, BUFFER, STDIN, STDOUT};
use pvkernel_user::text::options;
use pvkernel_user::{sys, File};

pvkernel_user::program!(run);

fn run(args: &[&str]) -> i32 {
    let Ok((letters, names)) = options(args.get(1..).unwrap_or_default(), "a") else {
        return usage("tee [-a] [FILE...]");
    };
    let how = if letters.is_empty() { open::TRUNCATE } else { open::APPEND };
    let (mut files, mut status) = (Vec::new(), 0);
    for name in names {
        match File::open(name, open::WRITE | open::CREATE | how) {
            Ok(file) => files.push((*name, file)),
            Err(why) => status = complain(name, why),
        }
    }
    let mut part = alloc::vec![0; BUFFER];
    loop {
        let read = match sys::read(STDIN, &mut part) {
            Ok(0) => return status,
            Ok(count) => part.get(..count).unwrap_or_default(),
            Err(why) => return complain("input", why),
        };
        write_all(STDOUT, read).unwrap_or_else(|why| output_failed(why));
        files.retain(|(name, file)| match file.write_all(read) {
            Ok(()) => true,
            Err(why) => {
                status = complain(name, why);
                false
            }
        });
    }
}
