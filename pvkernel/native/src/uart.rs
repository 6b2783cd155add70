//! The first serial port: an 8250 and its descendants.
//!
//! Output never hangs: a port that does not take a byte in time is given up.

use crate::ports;

const PORT: u16 = 0x3f8;
/// Its interrupt.
pub(crate) const LINE: u32 = 4;
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

fn input(port: u16) -> u8 {
    // SAFETY: a register of the serial port, which only this module uses.
    unsafe { ports::read_u8(port) }
}

fn output(port: u16, value: u8) {
    // SAFETY: as in `input`.
    unsafe { ports::write_u8(port, value) };
}

/// Sets the port up, without interrupts; false when there is none.
pub(crate) fn init() -> bool {
    output(SCRATCH, 0x5a);
    if input(SCRATCH) != 0x5a {
        return false;
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
    true
}

/// Makes the port interrupt when something comes.
pub(crate) fn enable_interrupt() {
    output(INTERRUPT_ENABLE, RECEIVED);
}

/// Sends bytes as they are; false when the port is stuck.
pub(crate) fn send(bytes: &[u8]) -> bool {
    for chunk in bytes.chunks(FIFO_BYTES) {
        if !(0..TRIES).any(|_| input(LINE_STATUS) & TRANSMITTER_EMPTY != 0) {
            return false;
        }
        chunk.iter().for_each(|byte| output(DATA, *byte));
    }
    true
}

/// Takes what has come; the number of bytes.
pub(crate) fn receive(buffer: &mut [u8]) -> usize {
    let mut count = 0;
    for place in buffer.iter_mut() {
        if input(LINE_STATUS) & RECEIVED == 0 {
            break;
        }
        *place = input(DATA);
        count += 1;
    }
    count
}
