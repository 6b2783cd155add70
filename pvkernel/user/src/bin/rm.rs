//! `rm [-rf] PATH...`: removes files and empty directories; `-r` what is in directories too, `-f` is content when
//! there is nothing.
#![cfg_attr(target_os = "none", no_std)]
#![no_main]
#![deny(unsafe_code)]

use pvkernel_user::file::{entries, is_directory};
use pvkernel_user::io::{complain, usage};
use pvkernel_user::text::{base_name, join, options};
use pvkernel_user::{sys, Errno};

pvkernel_user::program!(run);

/// Deeper directories are not followed: each level takes stack.
const MAX_DEPTH: usize = 256;

fn run(args: &[&str]) -> i32 {
    let (letters, paths) = match options(args.get(1..).unwrap_or_default(), "rf") {
        Ok((letters, paths)) if !paths.is_empty() => (letters, paths),
        _ => return usage("rm [-rf] PATH..."),
    };
    let mut status = 0;
    for path in paths {
        // The current directory would be removed under the one who is in it.
        if matches!(base_name(path), "." | ".." | "/") {
            status = complain(path, Errno::EINVAL);
            continue;
        }
        status |= remove(path, letters.contains('r'), letters.contains('f'), 0);
    }
    status
}

fn remove(path: &str, with_contents: bool, is_content: bool, depth: usize) -> i32 {
    let mut status = 0;
    if with_contents && is_directory(path) {
        if depth == MAX_DEPTH {
            return complain(path, Errno::ELOOP);
        }
        match entries(path) {
            Ok(found) => {
                for entry in found {
                    let inside = join(path, &entry.name);
                    status |= remove(&inside, true, is_content, depth + 1);
                }
            }
            Err(why) => return complain(path, why),
        }
    }
    match sys::unlink(path.as_bytes()) {
        Err(Errno::ENOENT) if is_content => status,
        Err(why) => complain(path, why),
        Ok(()) => status,
    }
}
