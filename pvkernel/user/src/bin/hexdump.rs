//! `hexdump [-n BYTES] [-s POSITION] [FILE]`: bytes as numbers and as text.
#![cfg_attr(target_os = "none", no_std)]
#![no_main]
#![deny(unsafe_code)]

extern crate alloc;

use pvkernel_user::abi::Seek;
use pvkernel_user::io::{complain, output_failed, usage, Output, STDIN, STDOUT};
use pvkernel_user::text::hex_line;
use pvkernel_user::{File, Result};

pvkernel_user::program!(run);

const USAGE: &str = "hexdump [-n BYTES] [-s POSITION] [FILE]";

fn run(args: &[&str]) -> i32 {
    let mut rest = args.get(1..).unwrap_or_default();
    let (mut limit, mut start) = (u64::MAX, 0);
    while let [option @ ("-n" | "-s"), number, behind @ ..] = rest {
        let Ok(number) = number.parse() else { return usage(USAGE) };
        match *option {
            "-n" => limit = number,
            _ => start = number,
        }
        rest = behind;
    }
    let (name, file) = match rest {
        [] => ("input", Ok(File::of(STDIN))),
        [path] => (*path, File::read_only(path)),
        _ => return usage(USAGE),
    };
    match file.and_then(|file| dump(&file, start, limit)) {
        Ok(()) => 0,
        Err(why) => complain(name, why),
    }
}

fn dump(file: &File, start: u64, limit: u64) -> Result<()> {
    if start > 0 {
        file.seek(start as i64, Seek::Start)?;
    }
    let (mut output, mut position) = (Output::new(STDOUT), start);
    let end = start.saturating_add(limit);
    while position < end {
        let mut bytes = [0; 16];
        let wanted = (end - position).min(16) as usize;
        let count = file.read_full(bytes.get_mut(..wanted).unwrap_or_default())?;
        if count == 0 {
            break;
        }
        let line = hex_line(position, bytes.get(..count).unwrap_or_default()) + "\n";
        output.write(line.as_bytes()).unwrap_or_else(|why| output_failed(why));
        position += count as u64;
    }
    output.flush().unwrap_or_else(|why| output_failed(why));
    Ok(())
}
