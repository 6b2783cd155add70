//! The first serial port: the hypervisor's console, and that of dom0.
//!
//! Output is polled and bounded: a port that does not take a byte in time is given up. Input raises
//! `irq::VEC_SERIAL`; the image reads what is there.

use crate::cpu::{inb, outb, spin_until};
use crate::irq;
pub use crate::log::write_bytes;
use core::sync::atomic::{AtomicU8, Ordering};

const PORT: u16 = 0x3f8;
const ISA_IRQ: u8 = 4;
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
const DIVISOR: u16 = 1;
/// Bytes the transmitter takes at once when it is empty.
const FIFO_BYTES: usize = 16;
/// Looks at the status before the port is given up: about a tenth of a second.
const TRIES: u32 = 200_000;

const ABSENT: u8 = 0;
const PRESENT: u8 = 1;
const STUCK: u8 = 2;
static STATE: AtomicU8 = AtomicU8::new(ABSENT);

/// Sets the port up, if there is one.
pub(crate) fn init() {
    outb(SCRATCH, 0x5a);
    if inb(SCRATCH) != 0x5a {
        return;
    }
    let setup = [
        (INTERRUPT_ENABLE, 0),
        (LINE_CONTROL, DIVISOR_ACCESS),
        (DATA, DIVISOR as u8),
        (INTERRUPT_ENABLE, (DIVISOR >> 8) as u8),
        (LINE_CONTROL, EIGHT_BITS_NO_PARITY),
        (FIFO_CONTROL, FIFO_ON),
        (MODEM_CONTROL, MODEM_READY),
    ];
    setup.into_iter().for_each(|(register, value)| outb(register, value));
    STATE.store(PRESENT, Ordering::Relaxed);
}

/// Routes the port's interrupt and lets input raise it.
pub(crate) fn enable_interrupt() {
    if STATE.load(Ordering::Relaxed) != ABSENT && irq::isa_route(ISA_IRQ, irq::VEC_SERIAL) {
        outb(INTERRUPT_ENABLE, RECEIVED);
    }
}

/// Sends bytes as they are. Callers serialize themselves; the hypervisor's own lines and those of
/// guests go through `log`, which does.
pub(crate) fn send(bytes: &[u8]) {
    for chunk in bytes.chunks(FIFO_BYTES) {
        if STATE.load(Ordering::Relaxed) != PRESENT {
            return;
        }
        if !spin_until(TRIES, || inb(LINE_STATUS) & TRANSMITTER_EMPTY != 0) {
            STATE.store(STUCK, Ordering::Relaxed);
            return;
        }
        chunk.iter().for_each(|byte| outb(DATA, *byte));
    }
}

/// A received byte, if there is one.
pub fn read_byte() -> Option<u8> {
    let is_there = STATE.load(Ordering::Relaxed) != ABSENT && inb(LINE_STATUS) & RECEIVED != 0;
    is_there.then(|| inb(DATA))
}
