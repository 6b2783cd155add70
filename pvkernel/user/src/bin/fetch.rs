//! `fetch URL [FILE]`: a page by HTTP, to the output or a file.
#![cfg_attr(target_os = "none", no_std)]
#![no_main]
#![deny(unsafe_code)]

extern crate alloc;

use alloc::format;
use alloc::vec::Vec;

use pvkernel_user::io::{complain, usage, BUFFER, STDOUT};
use pvkernel_user::system::address_of;
use pvkernel_user::text::url;
use pvkernel_user::{eprintln, sys, Errno, File, Result};

pvkernel_user::program!(run);

/// How long connecting may take.
const CONNECT_NS: u64 = 5_000_000_000;
/// Most bytes of the head.
const MAX_HEAD: usize = 16 << 10;

fn run(args: &[&str]) -> i32 {
    let (page, file) = match args {
        [_, page] => (*page, None),
        [_, page, file] => (*page, Some(*file)),
        _ => return usage("fetch URL [FILE]"),
    };
    let Some((host, port, path)) = url(page) else {
        eprintln!("fetch: {page}: not a URL like http://HOST[:PORT]/PATH");
        return 1;
    };
    match ask(host, port, path).and_then(|connection| receive(&connection, file)) {
        Ok(200..=299) => 0,
        Ok(status) => {
            eprintln!("fetch: {page}: the server answered {status}");
            1
        }
        Err(why) => complain(page, why),
    }
}

fn ask(host: &str, port: u16, path: &str) -> Result<File> {
    let connection = File::of(sys::connect(address_of(host)?, port, CONNECT_NS)?);
    let request = format!("GET {path} HTTP/1.0\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    connection.write_all(request.as_bytes())?;
    Ok(connection)
}

/// Reads the head, then copies what is behind it: the status.
fn receive(connection: &File, file: Option<&str>) -> Result<u16> {
    let (mut head, mut part) = (Vec::new(), alloc::vec![0; BUFFER]);
    let body = loop {
        let count = connection.read(&mut part)?;
        head.extend_from_slice(part.get(..count).unwrap_or_default());
        if let Some(end) = head.windows(4).position(|window| window == b"\r\n\r\n") {
            break head.split_off(end + 4);
        }
        if count == 0 || head.len() > MAX_HEAD {
            return Err(Errno::EIO);
        }
    };
    let status = status_of(&head).ok_or(Errno::EIO)?;
    let file = file.map(File::create).transpose()?;
    let to = file.as_ref().map_or(STDOUT, File::fd);
    pvkernel_user::io::write_all(to, &body)?;
    loop {
        match connection.read(&mut part)? {
            0 => return Ok(status),
            count => pvkernel_user::io::write_all(to, part.get(..count).unwrap_or_default())?,
        }
    }
}

/// The number behind `HTTP/1.x`.
fn status_of(head: &[u8]) -> Option<u16> {
    let text = core::str::from_utf8(head).ok()?;
    text.strip_prefix("HTTP/1.")?.split_ascii_whitespace().nth(1)?.parse().ok()
}
