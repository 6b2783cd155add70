//! `cp FROM TO` or `cp FROM... FOLDER`: copies files.
#![cfg_attr(target_os = "none", no_std)]
#![no_main]
#![deny(unsafe_code)]

extern crate alloc;

use alloc::string::{String, ToString};

use pvkernel_user::abi::FileKind;
use pvkernel_user::file::is_directory;
use pvkernel_user::io::{complain, usage, BUFFER};
use pvkernel_user::text::{base_name, join};
use pvkernel_user::{sys, Errno, File, Result};

pvkernel_user::program!(run);

fn run(args: &[&str]) -> i32 {
    let Some((to, from)) = args.get(1..).unwrap_or_default().split_last() else {
        return usage("cp FROM... TO");
    };
    let into = is_directory(to);
    match from.len() {
        0 => return usage("cp FROM... TO"),
        1 => {}
        _ if !into => return complain(to, Errno::ENOTDIR),
        _ => {}
    }
    let mut status = 0;
    for path in from {
        let to = if into { join(to, base_name(path)) } else { to.to_string() };
        if let Err((what, why)) = copy(path, &to) {
            status = complain(what, why);
        }
    }
    status
}

/// Copies one file; an error names the path it is about.
fn copy(from: &str, to: &str) -> core::result::Result<(), (String, Errno)> {
    let at = |path: &str| {
        let path = path.to_string();
        move |why| (path, why)
    };
    let source = File::read_only(from).map_err(at(from))?;
    let about = source.stat().map_err(at(from))?;
    if about.kind == FileKind::Directory as u32 {
        return Err((from.to_string(), Errno::EISDIR));
    }
    // Emptying the target would empty the source.
    if let Ok(target) = sys::stat(to.as_bytes()) {
        if (target.mount, target.inode) == (about.mount, about.inode) {
            return Err((to.to_string(), Errno::EEXIST));
        }
    }
    let target = File::create(to).map_err(at(to))?;
    let mut part = alloc::vec![0; BUFFER];
    loop {
        let count: Result<usize> = source.read(&mut part);
        let count = count.map_err(at(from))?;
        if count == 0 {
            return Ok(());
        }
        target.write_all(part.get(..count).unwrap_or_default()).map_err(at(to))?;
    }
}
