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
