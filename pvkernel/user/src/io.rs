//! Output in pieces, input in lines, and the one line that says what went wrong.

use alloc::vec::Vec;
use core::fmt;

use crate::{sys, Errno, Result};

/// Descriptor of what is read.
pub const STDIN: u32 = 0;
/// Descriptor of what is written.
pub const STDOUT: u32 = 1;
/// Descriptor of complaints.
pub const STDERR: u32 = 2;

/// Bytes of a piece of `print!`.
const PIECE: usize = 256;
/// Bytes of a buffer of files.
pub const BUFFER: usize = 8192;
/// Longer lines come in parts.
const LINE_MAX: usize = 64 << 10;

/// Writes all of it.
///
/// # Errors
/// Those of `write`.
pub fn write_all(fd: u32, mut bytes: &[u8]) -> Result<()> {
    while !bytes.is_empty() {
        let count = sys::write(fd, bytes)?;
        if count == 0 {
            return Err(Errno::EIO);
        }
        bytes = bytes.get(count..).unwrap_or_default();
    }
    Ok(())
}

/// Collects what is formatted, so that a line is mostly one call.
struct Pieces {
    fd: u32,
    used: usize,
    bytes: [u8; PIECE],
    result: Result<()>,
}

impl Pieces {
    fn flush(&mut self) {
        let bytes = self.bytes.get(..self.used).unwrap_or_default();
        self.result = self.result.and_then(|()| write_all(self.fd, bytes));
        self.used = 0;
    }
}

impl fmt::Write for Pieces {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for part in text.as_bytes().chunks(PIECE) {
            if self.used + part.len() > PIECE {
                self.flush();
            }
            if let Some(room) = self.bytes.get_mut(self.used..self.used + part.len()) {
                room.copy_from_slice(part);
                self.used += part.len();
            }
        }
        Ok(())
    }
}

/// Formats to a descriptor. A program that cannot write its output ends: nobody would see the rest.
pub fn print(fd: u32, text: fmt::Arguments<'_>) {
    let mut pieces = Pieces { fd, used: 0, bytes: [0; PIECE], result: Ok(()) };
    // `write_str` above gives no error.
    let _ = fmt::write(&mut pieces, text);
    pieces.flush();
    if let (Err(why), true) = (pieces.result, fd == STDOUT) {
        output_failed(why);
    }
}

/// Ends the program because its output goes nowhere: silently if the reader has left.
pub fn output_failed(why: Errno) -> ! {
    if why != Errno::EPIPE {
        crate::eprintln!("{}: output: {}", crate::start::name(), why.text());
    }
    sys::exit(1)
}

/// Prints to descriptor 1.
#[macro_export]
macro_rules! print {
    ($($arg:tt)*) => { $crate::io::print($crate::io::STDOUT, format_args!($($arg)*)) };
}

/// Prints a line to descriptor 1.
#[macro_export]
macro_rules! println {
    () => { $crate::print!("\n") };
    ($($arg:tt)*) => {
        $crate::io::print($crate::io::STDOUT, format_args!("{}\n", format_args!($($arg)*)))
    };
}

/// Prints a line to descriptor 2.
#[macro_export]
macro_rules! eprintln {
    ($($arg:tt)*) => {
        $crate::io::print($crate::io::STDERR, format_args!("{}\n", format_args!($($arg)*)))
    };
}

/// Says what went wrong in the way all programs do, `name: what: why`; gives the status 1.
pub fn complain(what: impl fmt::Display, why: Errno) -> i32 {
    crate::eprintln!("{}: {what}: {}", crate::start::name(), why.text());
    1
}

/// Says how the program is called; gives the status for that.
pub fn usage(text: &str) -> i32 {
    crate::eprintln!("{}: usage: {text}", crate::start::name());
    crate::start::STATUS_USAGE
}

/// Output of programs that write much: a call for each full buffer.
pub struct Output {
    fd: u32,
    bytes: Vec<u8>,
}

impl Output {
    /// Output on a descriptor, which stays the caller's.
    #[must_use]
    pub fn new(fd: u32) -> Self {
        Self { fd, bytes: Vec::with_capacity(BUFFER) }
    }

    /// Writes, sooner or later.
    ///
    /// # Errors
    /// Those of `write`.
    pub fn write(&mut self, bytes: &[u8]) -> Result<()> {
        if self.bytes.len() + bytes.len() > BUFFER {
            self.flush()?;
        }
        match bytes.len() >= BUFFER {
            true => write_all(self.fd, bytes),
            false => {
                self.bytes.extend_from_slice(bytes);
                Ok(())
            }
        }
    }

    /// Writes now.
    ///
    /// # Errors
    /// Those of `write`.
    pub fn flush(&mut self) -> Result<()> {
        let result = write_all(self.fd, &self.bytes);
        self.bytes.clear();
        result
    }
}

/// Input in lines.
pub struct Lines {
    fd: u32,
    buffer: Vec<u8>,
    used: usize,
}

impl Lines {
    /// Lines of a descriptor, which stays the caller's.
    #[must_use]
    pub fn new(fd: u32) -> Self {
        Self { fd, buffer: Vec::new(), used: 0 }
    }

    /// Puts the next line, without its end, in `line`; false at the end of the input. A line of more
    /// than 64 KiB comes in parts.
    ///
    /// # Errors
    /// Those of `read`.
    pub fn next(&mut self, line: &mut Vec<u8>) -> Result<bool> {
        line.clear();
        loop {
            let rest = self.buffer.get(self.used..).unwrap_or_default();
            let end = rest.iter().position(|byte| *byte == b'\n');
            let part = rest.get(..end.unwrap_or(rest.len())).unwrap_or_default();
            let part = part.get(..part.len().min(LINE_MAX - line.len())).unwrap_or_default();
            line.extend_from_slice(part);
            let is_whole = end == Some(part.len());
            self.used += part.len() + usize::from(is_whole);
            if is_whole || line.len() == LINE_MAX {
                return Ok(true);
            }
            if !self.fill()? {
                return Ok(!line.is_empty());
            }
        }
    }

    fn fill(&mut self) -> Result<bool> {
        self.used = 0;
        self.buffer.resize(BUFFER, 0);
        let count = match sys::read(self.fd, &mut self.buffer) {
            Ok(count) => count,
            Err(why) => {
                self.buffer.clear();
                return Err(why);
            }
        };
        self.buffer.truncate(count);
        Ok(count > 0)
    }
}
