//! Lines of the hypervisor: `info!`, `warn!`, `err!`; and the ring that keeps them.
//!
//! Everything that reaches the console passes here, under one lock. A line is `(zendo) ` and the
//! text. What the control domain prints is not kept: the ring is the hypervisor's own log, as in
//! Xen. A panic opens the lock: its holder may be the one that panicked.

use crate::pure::ring::Ring;
use crate::serial;
use crate::sync::Mutex;
use core::fmt::{self, Write};
use core::sync::atomic::{AtomicU8, Ordering};

/// How important a line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Level {
    /// Something is wrong.
    Error = 1,
    /// Something looks wrong.
    Warning = 2,
    /// Something happened.
    Info = 3,
}

/// Lines up to this level are printed.
static THRESHOLD: AtomicU8 = AtomicU8::new(Level::Info as u8);

static RING: Mutex<Ring> = Mutex::new(Ring::EMPTY);

/// Sets what is printed, from the value of `loglvl=` on the command line: `none`, `error`,
/// `warning`, `info` or `all`, possibly with a second part behind a slash, which is ignored.
pub fn set_level(name: &str) {
    let threshold = match name.split('/').next().unwrap_or("") {
        "none" => 0,
        "error" => Level::Error as u8,
        "warning" => Level::Warning as u8,
        _ => Level::Info as u8,
    };
    THRESHOLD.store(threshold, Ordering::Relaxed);
}

/// Output that is printed and kept.
struct Kept<'a>(&'a mut Ring);

impl Write for Kept<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        print(text.as_bytes());
        text.bytes().for_each(|byte| self.0.push(byte));
        Ok(())
    }
}

/// Prints bytes, a carriage return before each line feed. The caller holds the lock.
fn print(bytes: &[u8]) {
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        let text = line.strip_suffix(b"\n");
        serial::send(text.unwrap_or(line));
        if text.is_some() {
            serial::send(b"\r\n");
        }
    }
}

/// Opens the lock for a panic.
///
/// # Safety
/// No other CPU may run any more, and what this one did before must not go on.
pub(crate) unsafe fn break_lock() {
    // SAFETY: as required of the caller: no holder can come back.
    unsafe { RING.force_unlock() };
}

/// Prints a line; use the macros.
pub fn line(level: Level, text: fmt::Arguments<'_>) {
    if level as u8 > THRESHOLD.load(Ordering::Relaxed) {
        return;
    }
    // Writing to the console cannot fail.
    let _ = Kept(&mut RING.lock()).write_fmt(format_args!("(zendo) {text}\n"));
}

/// Prints bytes without keeping them; a line feed gets its carriage return.
pub fn write_bytes(bytes: &[u8]) {
    let _lines_stay_whole = RING.lock();
    print(bytes);
}

/// Copies lines that were kept, from byte number `from` on. Returns how many bytes were copied and
/// the number behind them.
pub fn ring_read(from: u64, to: &mut [u8]) -> (usize, u64) {
    RING.lock().read(from, to)
}

/// Forgets the lines kept so far.
pub fn ring_clear() {
    RING.lock().clear();
}

/// Prints a line about something that happened.
#[macro_export]
macro_rules! info {
    ($($arg:tt)*) => { $crate::log::line($crate::log::Level::Info, format_args!($($arg)*)) };
}

/// Prints a line about something that looks wrong.
#[macro_export]
macro_rules! warn {
    ($($arg:tt)*) => { $crate::log::line($crate::log::Level::Warning, format_args!($($arg)*)) };
}

/// Prints a line about something that is wrong.
#[macro_export]
macro_rules! err {
    ($($arg:tt)*) => { $crate::log::line($crate::log::Level::Error, format_args!($($arg)*)) };
}
