//! Lines of the hypervisor: `info!`, `warn!`, `err!`; and the ring that keeps all output.
//!
//! Everything that reaches the console passes here, under one lock. A line is `(zendo) ` and the
//! text. In a panic the lock is ignored after a while: its holder may be the one that panicked.

use crate::ring::Ring;
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

static RING: Mutex<Ring> = Mutex::new(Ring::new());

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

/// Output under the lock.
struct Console<'a>(&'a mut Ring);

impl Console<'_> {
    fn bytes(&mut self, bytes: &[u8]) {
        for line in bytes.split_inclusive(|byte| *byte == b'\n') {
            match line {
                [text @ .., b'\n'] => {
                    serial::send(text);
                    serial::send(b"\r\n");
                }
                text => serial::send(text),
            }
        }
        bytes.iter().for_each(|byte| self.0.push(*byte));
    }
}

impl Write for Console<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.bytes(text.as_bytes());
        Ok(())
    }
}

fn with_console(act: impl FnOnce(&mut Console<'_>)) {
    let mut tries = 0_u32;
    let mut ring = loop {
        if let Some(ring) = RING.try_lock() {
            break ring;
        }
        core::hint::spin_loop();
        crate::tlb::service();
        tries += 1;
        if crate::panic::is_under_way() && tries > LOCK_TRIES_IN_PANIC {
            // SAFETY: all other CPUs have been stopped, so no holder can come back.
            unsafe { RING.force_unlock() };
        }
    };
    act(&mut Console(&mut ring));
}

/// Looks at the lock before a panic takes it by force.
const LOCK_TRIES_IN_PANIC: u32 = 1_000_000;

/// Prints a line; use the macros.
pub fn line(level: Level, text: fmt::Arguments<'_>) {
    if level as u8 > THRESHOLD.load(Ordering::Relaxed) {
        return;
    }
    with_console(|console| {
        // Writing to the console cannot fail.
        let _ = console.write_fmt(format_args!("(zendo) {text}\n"));
    });
}

/// Prints bytes as they are.
pub(crate) fn write_raw(bytes: &[u8]) {
    with_console(|console| console.bytes(bytes));
}

/// Copies output that was kept, from byte number `from` on. Returns how many bytes were copied and
/// the number behind them.
pub fn ring_read(from: u64, to: &mut [u8]) -> (usize, u64) {
    RING.lock().read(from, to)
}

/// Forgets the output kept so far.
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
