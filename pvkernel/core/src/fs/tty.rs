//! `/dev/console`: lines for programs, keys for their end.
//!
//! Who notices that something was typed calls `pump`, from a thread: it shows what is typed and wakes who
//! waits for a line. ^C calls the hook, at once, also when no program reads. While somebody has `keys` open
//! nothing is shown or edited here.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use pvkernel_abi::{Errno, FileKind, Stat};

use super::file::{File, GiveUp};
use super::line::{LineEditor, Typed, INTERRUPT};
use crate::kernel::Kernel;
use crate::platform::Console;
use crate::sync::Lock;
use crate::wait::WaitQueue;

/// Lines that wait to be read; what is typed then is lost.
const TYPED_AHEAD: usize = 16;
/// Keys taken in one go.
const PUMP_MOST: usize = 4096;
/// Keys that wait to be read.
const KEYS_AHEAD: usize = 4096;
/// What is shown for a key that is not taken.
const BELL: u8 = 7;

#[derive(Default)]
struct State {
    editor: LineEditor,
    /// Complete lines; an empty one is the end of the input.
    lines: VecDeque<Vec<u8>>,
    /// Bytes of the first that were read.
    read: usize,
    /// Keys that became no lines yet.
    keys: VecDeque<u8>,
    /// How many have `keys` open.
    watchers: usize,
}

/// ^D.
const END_OF_INPUT: &[u8] = &[4];

impl State {
    /// A key for whoever reads `keys`. ^C is one, and does what it does all the same: nobody can keep it
    /// from the one who types.
    fn keep_key(&mut self, key: u8, echo: &mut Vec<u8>) -> Typed {
        if self.editor.is_second_end(key) {
            return Typed::Nothing;
        }
        match self.keys.len() < KEYS_AHEAD {
            true => self.keys.push_back(key),
            false => echo.push(BELL),
        }
        if key == INTERRUPT {
            Typed::Interrupt
        } else {
            Typed::Key
        }
    }

    /// A key for the line.
    fn edit(&mut self, key: u8, echo: &mut Vec<u8>) -> Typed {
        let shown = echo.len();
        let typed = self.editor.push(key, echo);
        if let Typed::Line(line) = &typed {
            if self.lines.len() < TYPED_AHEAD {
                self.lines.push_back(line.clone());
            } else {
                echo.truncate(shown);
                echo.push(BELL);
            }
        }
        typed
    }

    /// Keys that were kept become lines. ^C among them was heard.
    fn edit_keys(&mut self, echo: &mut Vec<u8>) {
        for key in core::mem::take(&mut self.keys) {
            self.edit(key, echo);
        }
    }
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
                Typed::Line(_) | Typed::Key => is_woken = true,
                Typed::Interrupt => {
                    is_woken = true;
                    interrupts += 1;
                }
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
        if state.watchers > 0 {
            return state.keep_key(byte, echo);
        }
        state.edit_keys(echo);
        state.edit(byte, echo)
    }

    /// From now on keys are for who reads `keys`, also those of lines nobody has read.
    pub(super) fn begin_keys(&self) {
        let mut state = self.state.lock();
        state.watchers += 1;
        if state.watchers > 1 {
            return;
        }
        let State { editor, lines, read, keys, .. } = &mut *state;
        let typed = editor.take_back();
        for line in lines.drain(..).chain([typed].into_iter().filter(|typed| !typed.is_empty())) {
            let rest = line.get(core::mem::take(read)..).unwrap_or_default();
            keys.extend(if line.is_empty() { END_OF_INPUT } else { rest });
        }
    }

    pub(super) fn end_keys(&self) {
        self.state.lock().watchers -= 1;
    }

    /// Waits for keys: those that are there, up to one that ends a line, so that what is typed ahead is left
    /// for whom that line starts.
    pub(super) fn read_keys(&self, to: &mut [u8], give_up: GiveUp<'_>) -> Result<usize, Errno> {
        let mut len = self.take_keys(to);
        if len.is_none() {
            self.readers.wait_until(self.kernel, || {
                len = self.take_keys(to);
                len.is_some() || give_up()
            });
        }
        len.ok_or(Errno::EAGAIN)
    }

    fn take_keys(&self, to: &mut [u8]) -> Option<usize> {
        let keys = &mut self.state.lock().keys;
        let end = keys.iter().position(|key| matches!(key, b'\r' | b'\n'));
        let len = end.map_or(keys.len(), |end| end + 1).min(to.len());
        for (place, key) in to.iter_mut().zip(keys.drain(..len)) {
            *place = key;
        }
        (len > 0).then_some(len)
    }

    /// Keys that nobody has read who wanted keys are for the line.
    fn edit_keys(&self) {
        let mut echo = Vec::new();
        let mut state = self.state.lock();
        if state.watchers == 0 {
            state.edit_keys(&mut echo);
        }
        drop(state);
        if !echo.is_empty() {
            self.console.write(&echo);
        }
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
        self.edit_keys();
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
