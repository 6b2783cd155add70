//! `/dev/console`: lines for programs, keys for their end.
//!
//! Who notices that something was typed calls `pump`, from a thread: it shows what is typed and wakes who
//! waits for a line. ^C calls the hook, at once, also when no program reads.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use pvkernel_abi::{Errno, FileKind, Stat};

use super::file::{File, GiveUp};
use super::line::{LineEditor, Typed};
use crate::kernel::Kernel;
use crate::platform::Console;
use crate::sync::Lock;
use crate::wait::WaitQueue;

/// Lines that wait to be read; what is typed then is lost.
const TYPED_AHEAD: usize = 16;
/// Keys taken in one go.
const PUMP_MOST: usize = 4096;
/// What is shown for a key that is not taken.
const BELL: u8 = 7;

#[derive(Default)]
struct State {
    editor: LineEditor,
    /// Complete lines; an empty one is the end of the input.
    lines: VecDeque<Vec<u8>>,
    /// Bytes of the first that were read.
    read: usize,
}

/// What ^C does.
type OnInterrupt = Box<dyn Fn() + Send + Sync>;

/// A console for people.
pub struct Tty {
    kernel: &'static Kernel,
    console: &'static dyn Console,
    state: Lock<State>,
    readers: WaitQueue,
    on_interrupt: OnInterrupt,
}

impl Tty {
    /// Lines of a console. `on_interrupt` is called without a lock held; it must not wait.
    #[must_use]
    pub fn new(
        kernel: &'static Kernel,
        console: &'static dyn Console,
        on_interrupt: OnInterrupt,
    ) -> Self {
        let state = Lock::new(State::default());
        Self { kernel, console, state, readers: WaitQueue::new(), on_interrupt }
    }

    /// Takes what was typed, up to a bound; true if there was anything.
    pub fn pump(&self) -> bool {
        let (mut echo, mut is_woken, mut count, mut interrupts) = (Vec::new(), false, 0, 0);
        while let Some(byte) = self.next_byte(count) {
            count += 1;
            match self.take(byte, &mut echo) {
                Typed::Nothing => {}
                Typed::Line(_) => is_woken = true,
                Typed::Interrupt => interrupts += 1,
            }
        }
        if !echo.is_empty() {
            self.console.write(&echo);
        }
        if is_woken {
            self.readers.wake_all(self.kernel);
        }
        (0..interrupts).for_each(|_| (self.on_interrupt)());
        count > 0
    }

    fn next_byte(&self, count: usize) -> Option<u8> {
        if count >= PUMP_MOST {
            return None;
        }
        self.console.read_byte()
    }

    fn take(&self, byte: u8, echo: &mut Vec<u8>) -> Typed {
        let mut state = self.state.lock();
        let shown = echo.len();
        let typed = state.editor.push(byte, echo);
        if let Typed::Line(line) = &typed {
            if state.lines.len() < TYPED_AHEAD {
                let line = line.clone();
                state.lines.push_back(line);
            } else {
                echo.truncate(shown);
                echo.push(BELL);
            }
        }
        typed
    }

    /// Takes up to a line; `None` to wait.
    fn read_line(&self, to: &mut [u8]) -> Option<usize> {
        let mut state = self.state.lock();
        let State { lines, read, .. } = &mut *state;
        let rest = lines.front()?.get(*read..).unwrap_or_default();
        let len = rest.len().min(to.len());
        to[..len].copy_from_slice(&rest[..len]);
        match len == rest.len() {
            true => {
                lines.pop_front();
                *read = 0;
            }
            false => *read += len,
        }
        Some(len)
    }
}

impl File for Tty {
    fn read(&self, _: u64, to: &mut [u8], give_up: GiveUp<'_>) -> Result<usize, Errno> {
        let mut len = self.read_line(to);
        if len.is_none() {
            self.readers.wait_until(self.kernel, || {
                len = self.read_line(to);
                len.is_some() || give_up()
            });
        }
        len.ok_or(Errno::EAGAIN)
    }

    fn write(&self, _: u64, from: &[u8], _: GiveUp<'_>) -> Result<usize, Errno> {
        self.console.write(from);
        Ok(from.len())
    }

    fn stat(&self) -> Stat {
        Stat { kind: FileKind::Character as u32, links: 1, ..Stat::default() }
    }
}
