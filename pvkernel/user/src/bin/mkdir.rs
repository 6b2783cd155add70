//! `mkdir [-p] PATH...`: makes directories; `-p` those above them too, and is content with those that exist.
#![cfg_attr(target_os = "none", no_std)]
#![no_main]
#![deny(unsafe_code)]

use pvkernel_user::file::is_directory;
use pvkernel_user::io::{complain, usage};
use pvkernel_user::text::options;
use pvkernel_user::{sys, Errno, Result};

pvkernel_user::program!(run);

fn run(args: &[&str]) -> i32 {
    let (letters, paths) = match options(args.get(1..).unwrap_or_default(), "p") {
        Ok((letters, paths)) if !paths.is_empty() => (letters, paths),
        _ => return usage("mkdir [-p] PATH..."),
    };
    let mut status = 0;
    for path in paths {
        let made = match letters.is_empty() {
            true => sys::mkdir(path.as_bytes()),
            false => with_parents(path),
        };
        if let Err(why) = made {
            status = complain(path, why);
        }
    }
    status
}

fn with_parents(path: &str) -> Result<()> {
    let ends = path.match_indices('/').map(|(at, _)| at).filter(|at| *at > 0);
    for end in ends.chain([path.len()]) {
        let part = path.get(..end).unwrap_or_default();
        match sys::mkdir(part.as_bytes()) {
            Err(Errno::EEXIST | Errno::EROFS | Errno::EBUSY) if is_directory(part) => {}
            other => other?,
        }
    }
    Ok(())
}
