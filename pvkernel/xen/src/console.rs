//! The console: what was typed, who waits for it, and how the last words get out.
//!
//! One file for both backends; `console_line` is what the console is on. Input is taken from the line when it
//! says so, and when somebody reads; when nobody does for long, it stays there, and the other end waits.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use core::sync::atomic::{AtomicBool, Ordering};

use pvkernel_core::sync::Lock;

use crate::console_line::{self, Line};
use crate::thread::WaitQueue;

/// Bytes kept until somebody reads them.
const TYPED_AHEAD: usize = 4096;

struct State {
    line: Line,
    typed: VecDeque<u8>,
}

static STATE: Lock<State> = Lock::new(State { line: Line::FIRST, typed: VecDeque::new() });
static INPUT: WaitQueue = WaitQueue::new();
static EMERGENCY: AtomicBool = AtomicBool::new(false);

/// The console as a device of `pvkernel-core`.
struct Device;

impl pvkernel_core::platform::Console for Device {
    fn write(&self, bytes: &[u8]) {
        write(bytes);
    }

    fn read_byte(&self) -> Option<u8> {
        read_byte()
    }
}

/// The console as a platform device.
pub(crate) fn device() -> &'static dyn pvkernel_core::platform::Console {
    &Device
}

/// Sets what the console is on; output works from here on, input after `start_input`.
pub(crate) fn init(line: Line) {
    pvkernel_core::console::install(device());
    STATE.lock().line = line;
}

/// Lets input wake readers; needs heap and events.
pub(crate) fn start_input() {
    let wake = || {
        // What is in a serial port must be taken out of it, or it does not interrupt again.
        STATE.lock().fill();
        INPUT.wake_all();
    };
    STATE.lock().line.on_input(Box::new(wake));
}

/// Writes all bytes, or what fits when nobody takes them.
pub fn write(bytes: &[u8]) {
    if EMERGENCY.load(Ordering::Relaxed) {
        // A lock that is held now is never released.
        match STATE.try_lock() {
            Some(mut state) => state.line.write(bytes),
            None => console_line::write_anyway(bytes),
        }
    } else {
        STATE.lock().line.write(bytes);
    }
}

/// The next byte typed, if there is one.
pub fn read_byte() -> Option<u8> {
    let mut state = STATE.lock();
    state.fill();
    state.typed.pop_front()
}

/// Waits until there is a byte to read.
pub fn wait_input() {
    INPUT.wait_until(|| {
        let mut state = STATE.lock();
        state.fill();
        !state.typed.is_empty()
    });
}

/// Runs `describe` although locks may be held: for the last words before the end.
pub fn emergency(describe: impl FnOnce()) {
    EMERGENCY.store(true, Ordering::Relaxed);
    describe();
}

impl State {
    /// Takes from the line what there is room for.
    fn fill(&mut self) {
        // One reservation for good, and no more.
        if self.typed.capacity() == 0 {
            self.typed.reserve_exact(TYPED_AHEAD);
        }
        let mut buffer = [0; 64];
        loop {
            let room = buffer.len().min(TYPED_AHEAD.saturating_sub(self.typed.len()));
            let count = self.line.read(&mut buffer[..room]).min(room);
            self.typed.extend(&buffer[..count]);
            if count == 0 || count < room {
                return;
            }
        }
    }
}
