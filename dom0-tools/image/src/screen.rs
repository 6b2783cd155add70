//! The screen and the keyboard of the control domain: its console.
//!
//! All output of the shell goes through here, and all typed bytes come from here. A thread moves
//! typed bytes into a bounded queue, so that whoever waits for a key can wait for other things too.

use crate::terminal::{Key, Terminal};
use alloc::collections::VecDeque;
use pvkernel_core::sync::Lock;
use pvkernel_xen::{console, thread};
use zl_cli::Stream;

/// Woken whenever there may be something new for the person: a key, a notice, a guest's output.
pub static CHANGED: thread::WaitQueue = thread::WaitQueue::new();

/// Most bytes typed ahead.
const MOST_TYPED: usize = 4096;
/// ^C.
pub const INTERRUPT: u8 = 0x03;

static TYPED: Lock<VecDeque<u8>> = Lock::new(VecDeque::new());

/// Writes text. A carriage return before a line feed is left out: the hypervisor adds it.
pub fn show(bytes: &[u8]) {
    let mut rest = bytes;
    while let Some(at) = rest.windows(2).position(|pair| pair == b"\r\n") {
        let (before, from) = rest.split_at(at);
        console::write(before);
        rest = from.get(1..).unwrap_or(&[]);
    }
    console::write(rest);
}

/// Writes text.
pub fn print(text: &str) {
    show(text.as_bytes());
}

/// Moves typed bytes into the queue, for ever. The queue is reserved whole, once.
pub fn collect_typed() {
    TYPED.lock().reserve_exact(MOST_TYPED);
    loop {
        console::wait_input();
        while let Some(byte) = console::read_byte() {
            let mut typed = TYPED.lock();
            if typed.len() < MOST_TYPED {
                typed.push_back(byte);
            }
        }
        CHANGED.wake_all();
    }
}

/// The next typed byte.
pub fn read() -> Option<u8> {
    TYPED.lock().pop_front()
}

/// Whether a byte was typed.
pub fn has_typed() -> bool {
    !TYPED.lock().is_empty()
}

/// Whether ^C was typed; everything before it is forgotten then.
pub fn take_interrupt() -> bool {
    let mut typed = TYPED.lock();
    match typed.iter().position(|byte| *byte == INTERRUPT) {
        Some(at) => {
            typed.drain(..=at);
            true
        }
        None => false,
    }
}

/// The console as the terminal of the shell.
pub struct Screen;

impl Terminal for Screen {
    fn write(&self, _to: Stream, bytes: &[u8]) {
        show(bytes);
    }

    fn take_key(&self) -> Option<Key> {
        read().map(Key::Byte)
    }

    fn has_key(&self) -> bool {
        has_typed()
    }

    fn take_interrupt(&self) -> bool {
        take_interrupt()
    }

    fn is_gone(&self) -> bool {
        false
    }

    fn wants_keys(&self, _leave: Option<u8>) {}

    fn wants_lines(&self) {}
}
