//! The console on the fake machine.

use alloc::sync::Arc;
use core::sync::atomic::{AtomicU32, Ordering};
use std::boxed::Box;

use super::*;
use crate::kernel::Kernel;
use crate::platform::hosted::Hosted;

const NEVER: GiveUp<'static> = &|| false;

#[test]
fn lines_are_read_as_they_were_typed() {
    let (machine, platform) = Hosted::leak();
    let kernel: &'static Kernel = Box::leak(Box::new(Kernel::new(platform, "main")));
    let interrupts = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&interrupts);
    let hook = Box::new(move || {
        counted.fetch_add(1, Ordering::Relaxed);
    });
    let tty = Arc::new(Tty::new(kernel, platform.console, hook));
    assert!(!tty.pump());
    machine.type_in(b"hello world\rnext\x03again\n\x04");
    assert!(tty.pump());
    assert_eq!(interrupts.load(Ordering::Relaxed), 1);
    let mut bytes = [0; 8];
    for expected in [&b"hello wo"[..], b"rld\n", b"again\n", b""] {
        assert_eq!(tty.read(0, &mut bytes, NEVER), Ok(expected.len()));
        assert_eq!(&bytes[..expected.len()], expected);
    }
    assert_eq!(tty.read(0, &mut bytes, &|| true), Err(pvkernel_abi::Errno::EAGAIN));
    let reader = Arc::clone(&tty);
    let thread = kernel.spawn("reader", move || {
        assert_eq!(reader.read(0, &mut [0; 10], NEVER), Ok(2));
    });
    kernel.yield_now();
    machine.type_in(b"x\n");
    tty.pump();
    thread.unwrap().join();
    // More than anybody reads is refused, not kept.
    machine.type_in(&b"line\n".repeat(100));
    tty.pump();
    let mut lines = 0;
    while tty.read(0, &mut [0; 100], &|| true).is_ok() {
        lines += 1;
    }
    assert_eq!(lines, 16);
}

/// A console, its machine, and how often ^C was heard.
fn console() -> (&'static Hosted, Arc<Tty>, Arc<AtomicU32>) {
    let (machine, platform) = Hosted::leak();
    let kernel: &'static Kernel = Box::leak(Box::new(Kernel::new(platform, "main")));
    let interrupts = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&interrupts);
    let hook = Box::new(move || {
        counted.fetch_add(1, Ordering::Relaxed);
    });
    (machine, Arc::new(Tty::new(kernel, platform.console, hook)), interrupts)
}

/// What is read at once.
fn read(file: &dyn File) -> Option<std::vec::Vec<u8>> {
    let mut bytes = [0; 100];
    let len = file.read(0, &mut bytes, &|| true).ok()?;
    Some(bytes[..len].to_vec())
}

#[test]
fn keys_are_for_who_has_them_open() {
    let (machine, tty, interrupts) = console();
    let node = Keys::new(Arc::clone(&tty));
    let keys = node.opened().unwrap();
    machine.type_in(b"a\x1b[A\x7f\x03\r\nnext\nrest");
    assert!(tty.pump());
    // ^C is a key, and is heard all the same.
    assert_eq!(interrupts.load(Ordering::Relaxed), 1);
    assert_eq!(read(&*tty), None);
    // Up to the end of a line at a time; what is behind it may be for another.
    assert_eq!(read(&*keys).unwrap(), b"a\x1b[A\x7f\x03\r");
    drop(keys);
    assert_eq!(read(&*tty).unwrap(), b"next\n");
    machine.type_in(b" of it\n");
    tty.pump();
    assert_eq!(read(&*tty).unwrap(), b"rest of it\n");
    assert_eq!(machine.output(), b"next\nrest of it\n");
}

#[test]
fn lines_nobody_has_read_are_keys_again() {
    let (machine, tty, _) = console();
    let node = Keys::new(Arc::clone(&tty));
    machine.type_in(b"first\nsecond\n\x04thi");
    tty.pump();
    assert_eq!(tty.read(0, &mut [0; 2], NEVER), Ok(2));
    let (one, other) = (node.opened().unwrap(), node.opened().unwrap());
    let all = [read(&*one).unwrap(), read(&*other).unwrap(), read(&*one).unwrap()];
    assert_eq!(all, [&b"rst\n"[..], b"second\n", b"\x04thi"]);
    drop(one);
    machine.type_in(b"x");
    tty.pump();
    assert_eq!(read(&*other).unwrap(), b"x");
    drop(other);
    // More than anybody reads is refused, not kept.
    let keys = node.opened().unwrap();
    machine.type_in(&[b'x'; 5000]);
    while tty.pump() {}
    let mut count = 0;
    while let Some(part) = read(&*keys) {
        count += part.len();
    }
    assert_eq!(count, 4096);
}
