//! Printing.
//!
//! `print!` and `println!` format into a small buffer on the stack and hand whole pieces (a line,
//! or a full buffer) to the console that the backend installed. A piece is one hypercall or one
//! pass over a ring, so lines of different threads do not mix.
//!
//! Before a console is installed, output is dropped: the earliest boot code of a backend has its
//! own way to speak.

use core::fmt;
use spin::Once;

use crate::platform::Console;

static CONSOLE: Once<&'static dyn Console> = Once::new();

/// Makes `console` the destination of `print!`; only the first call has an effect.
pub fn install(console: &'static dyn Console) {
    CONSOLE.call_once(|| console);
}

/// The destination of `print!`.
pub fn installed() -> Option<&'static dyn Console> {
    CONSOLE.get().copied()
}

/// Prints formatted text; use the macros.
pub fn print(args: fmt::Arguments<'_>) {
    if let Some(console) = installed() {
        let mut lines = LineBuffer::new(|piece: &[u8]| console.write(piece));
        // A console cannot fail; an error could only come from a broken Display implementation.
        let _ = fmt::Write::write_fmt(&mut lines, args);
    }
}

/// Prints without a line end.
#[macro_export]
macro_rules! print {
    ($($arg:tt)*) => { $crate::console::print(::core::format_args!($($arg)*)) };
}

/// Prints a line.
#[macro_export]
macro_rules! println {
    () => { $crate::print!("\n") };
    ($($arg:tt)*) => { $crate::console::print(::core::format_args!("{}\n", ::core::format_args!($($arg)*))) };
}

/// Hands text on in pieces, each line with the end that a terminal wants.
pub fn with_returns(text: &[u8], mut sink: impl FnMut(&[u8])) {
    for line in text.split_inclusive(|byte| *byte == b'\n') {
        match line.strip_suffix(b"\n") {
            Some(text) => {
                sink(text);
                sink(b"\r\n");
            }
            None => sink(line),
        }
    }
}

/// Bytes collected before a piece is handed on.
const CAPACITY: usize = 256;

/// Collects bytes and hands on lines, full buffers, and the rest when dropped.
pub struct LineBuffer<F: FnMut(&[u8])> {
    bytes: [u8; CAPACITY],
    len: usize,
    sink: F,
}

impl<F: FnMut(&[u8])> LineBuffer<F> {
    /// An empty buffer in front of `sink`.
    pub const fn new(sink: F) -> Self {
        Self { bytes: [0; CAPACITY], len: 0, sink }
    }

    /// Adds bytes.
    pub fn push(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.bytes[self.len] = byte;
            self.len += 1;
            if byte == b'\n' || self.len == CAPACITY {
                self.flush();
            }
        }
    }

    /// Hands on what has been collected.
    pub fn flush(&mut self) {
        if self.len > 0 {
            (self.sink)(&self.bytes[..self.len]);
            self.len = 0;
        }
    }
}

impl<F: FnMut(&[u8])> fmt::Write for LineBuffer<F> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.push(text.as_bytes());
        Ok(())
    }
}

impl<F: FnMut(&[u8])> Drop for LineBuffer<F> {
    fn drop(&mut self) {
        self.flush();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;
    use proptest::prelude::*;

    #[test]
    fn every_line_end_gets_a_return_and_nothing_else_changes() {
        for (text, expected) in
            [("", ""), ("a", "a"), ("a\n", "a\r\n"), ("\n\nb", "\r\n\r\nb"), ("a\r\n", "a\r\r\n")]
        {
            let mut sent = Vec::new();
            with_returns(text.as_bytes(), |piece| sent.extend_from_slice(piece));
            assert_eq!(sent, expected.as_bytes(), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn pieces_are_lines_and_nothing_is_lost(
            chunks in proptest::collection::vec(proptest::collection::vec(
                prop_oneof![Just(b'\n'), any::<u8>()], 0..400), 0..6),
        ) {
            let mut pieces: Vec<Vec<u8>> = Vec::new();
            {
                let mut lines = LineBuffer::new(|piece: &[u8]| pieces.push(piece.to_vec()));
                chunks.iter().for_each(|chunk| lines.push(chunk));
            }
            prop_assert_eq!(pieces.concat(), chunks.concat());
            for (at, piece) in pieces.iter().enumerate() {
                prop_assert!(!piece[..piece.len() - 1].contains(&b'\n'));
                let complete = piece.ends_with(b"\n") || piece.len() == CAPACITY;
                prop_assert!(complete || at + 1 == pieces.len());
            }
        }
    }
}
