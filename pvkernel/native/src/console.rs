//! The console: the first serial port.
//!
//! Output never hangs: a port that does not take a byte in time is given up. Input is taken from the
//! port when it interrupts, and when somebody reads; when nobody does for long, it stays in the port,
//! and the other end of the line waits.

use alloc::collections::VecDeque;
use core::sync::atomic::{AtomicBool, Ordering};

use pvkernel_core::sync::Lock;

use crate::thread::WaitQueue;
use crate::{event, ports};

const PORT: u16 = 0x3f8;
const LINE: u32 = 4;
const DATA: u16 = PORT;
const INTERRUPT_ENABLE: u16 = PORT + 1;
const FIFO_CONTROL: u16 = PORT + 2;
const LINE_CONTROL: u16 = PORT + 3;
const MODEM_CONTROL: u16 = PORT + 4;
const LINE_STATUS: u16 = PORT + 5;
const SCRATCH: u16 = PORT + 7;

const RECEIVED: u8 = 1;
const TRANSMITTER_EMPTY: u8 = 0x20;
const DIVISOR_ACCESS: u8 = 0x80;
const EIGHT_BITS_NO_PARITY: u8 = 3;
/// FIFOs on and emptied.
const FIFO_ON: u8 = 7;
/// DTR, RTS, and OUT2, which lets interrupts through.
const MODEM_READY: u8 = 0x0b;
/// 115200 baud.
const DIVISOR: u8 = 1;
/// Bytes the transmitter takes at once when it is empty.
const FIFO_BYTES: usize = 16;
/// Looks at the status before the port is given up.
const TRIES: u32 = 200_000;

/// Bytes kept until somebody reads them.
const TYPED_AHEAD: usize = 4096;

struct State {
    is_present: bool,
    typed: VecDeque<u8>,
}

static STATE: Lock<State> = Lock::new(State { is_present: false, typed: VecDeque::new() });
static INPUT: WaitQueue = WaitQueue::new();
static EMERGENCY: AtomicBool = AtomicBool::new(false);

/// The console as a device of `pvkernel-core`.
struct NativeConsole;

impl pvkernel_core::platform::Console for NativeConsole {
    fn write(&self, bytes: &[u8]) {
        write(bytes);
    }

    fn read_byte(&self) -> Option<u8> {
        read_byte()
    }
}

/// The console as a platform device.
pub(crate) fn device() -> &'static dyn pvkernel_core::platform::Console {
    &NativeConsole
}

fn input(port: u16) -> u8 {
    // SAFETY: a register of the serial port, which only this module uses.
    unsafe { ports::read_u8(port) }
}

fn output(port: u16, value: u8) {
    // SAFETY: as in `input`.
    unsafe { ports::write_u8(port, value) };
}

/// Sets the port up; output works from here on, input after `start_input`.
pub(crate) fn init() {
    pvkernel_core::console::install(device());
    output(SCRATCH, 0x5a);
    if input(SCRATCH) != 0x5a {
        return;
    }
    let setup = [
        (INTERRUPT_ENABLE, 0),
        (LINE_CONTROL, DIVISOR_ACCESS),
        (DATA, DIVISOR),
        (INTERRUPT_ENABLE, 0),
        (LINE_CONTROL, EIGHT_BITS_NO_PARITY),
        (FIFO_CONTROL, FIFO_ON),
        (MODEM_CONTROL, MODEM_READY),
    ];
    setup.into_iter().for_each(|(register, value)| output(register, value));
    STATE.lock().is_present = true;
}

/// Lets input wake readers; needs heap and events.
pub(crate) fn start_input() {
    let is_present = STATE.lock().is_present;
    let wake = || {
        // What is in the port must be taken out of it, or it does not interrupt again.
        STATE.lock().fill();
        INPUT.wake_all();
    };
    if is_present && event::on_event(LINE, false, alloc::boxed::Box::new(wake)) {
        output(INTERRUPT_ENABLE, RECEIVED);
    }
}

/// Writes all bytes, or what fits when the port is stuck.
pub fn write(bytes: &[u8]) {
    if EMERGENCY.load(Ordering::Relaxed) {
        // A lock that is held now is never released.
        match STATE.try_lock() {
            Some(mut state) => state.write(bytes),
            None => drop(send(bytes)),
        }
    } else {
        STATE.lock().write(bytes);
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

/// Runs `describe` although locks may be held: for the last words before the machine stops.
pub fn emergency(describe: impl FnOnce()) {
    EMERGENCY.store(true, Ordering::Relaxed);
    describe();
}

/// Sends bytes as they are; false when the port is stuck.
fn send(bytes: &[u8]) -> bool {
    for chunk in bytes.chunks(FIFO_BYTES) {
        if !(0..TRIES).any(|_| input(LINE_STATUS) & TRANSMITTER_EMPTY != 0) {
            return false;
        }
        chunk.iter().for_each(|byte| output(DATA, *byte));
    }
    true
}

impl State {
    fn write(&mut self, bytes: &[u8]) {
        for line in bytes.split_inclusive(|byte| *byte == b'\n') {
            self.is_present = self.is_present
                && match line.strip_suffix(b"\n") {
                    Some(text) => send(text) && send(b"\r\n"),
                    None => send(line),
                };
        }
    }

    fn fill(&mut self) {
        // One reservation for good, and no more.
        if self.typed.capacity() == 0 {
            self.typed.reserve_exact(TYPED_AHEAD);
        }
        while self.is_present
            && self.typed.len() < TYPED_AHEAD
            && input(LINE_STATUS) & RECEIVED != 0
        {
            self.typed.push_back(input(DATA));
        }
    }
}
