//! `ls [-l] [PATH...]`: the names in directories, and files as they are named. `-l` says what they are.
#![cfg_attr(target_os = "none", no_std)]
#![no_main]
#![deny(unsafe_code)]

extern crate alloc;

use alloc::string::String;

use pvkernel_user::abi::{FileKind, Stat};
use pvkernel_user::file::entries;
use pvkernel_user::io::{complain, usage};
use pvkernel_user::text::{date, join, options};
use pvkernel_user::{println, sys};

pvkernel_user::program!(run);

fn run(args: &[&str]) -> i32 {
    let Ok((letters, paths)) = options(args.get(1..).unwrap_or_default(), "l") else {
        return usage("ls [-l] [PATH...]");
    };
    let paths = if paths.is_empty() { &["."] } else { paths };
    let is_long = letters.contains('l');
    let mut status = 0;
    for path in paths {
        match sys::stat(path.as_bytes()) {
            Ok(stat) if stat.kind == FileKind::Directory as u32 => {
                if paths.len() > 1 {
                    println!("{path}:");
                }
                status |= list(path, is_long);
            }
            Ok(stat) => show(path, is_long.then_some(stat)),
            Err(why) => status = complain(path, why),
        }
    }
    status
}

fn list(path: &str, is_long: bool) -> i32 {
    let found = match entries(path) {
        Ok(found) => found,
        Err(why) => return complain(path, why),
    };
    let mut status = 0;
    for entry in found {
        if !is_long {
            show(&entry.name, None);
            continue;
        }
        let full: String = join(path, &entry.name);
        match sys::stat(full.as_bytes()) {
            Ok(stat) => show(&entry.name, Some(stat)),
            Err(why) => status = complain(full, why),
        }
    }
    status
}

fn show(name: &str, stat: Option<Stat>) {
    let Some(stat) = stat else {
        println!("{name}");
        return;
    };
    let letter = match stat.kind {
        kind if kind == FileKind::File as u32 => '-',
        kind if kind == FileKind::Directory as u32 => 'd',
        kind if kind == FileKind::Character as u32 => 'c',
        kind if kind == FileKind::Block as u32 => 'b',
        _ => '?',
    };
    println!("{letter} {:>4} {:>10} {} {name}", stat.links, stat.size, date(stat.modified));
}
