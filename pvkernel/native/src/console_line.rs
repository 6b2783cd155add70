//! What the console is on: the first serial port, if there is one.

use pvkernel_core::console::with_returns;
use pvkernel_core::events::Handler;

use crate::{apic, event, uart};

/// Where characters go to and come from.
pub(crate) enum Line {
    /// Nowhere, or to a port that was given up.
    Nowhere,
    /// The port.
    Port,
}

impl Line {
    /// What there is before anything is known.
    pub(crate) const FIRST: Self = Self::Nowhere;

    /// What this machine has.
    pub(crate) fn new() -> Self {
        match uart::init() {
            true => Self::Port,
            false => Self::Nowhere,
        }
    }

    /// Writes all bytes, or what fits when the port is stuck.
    pub(crate) fn write(&mut self, bytes: &[u8]) {
        with_returns(bytes, |piece| match self {
            Self::Port if !uart::send(piece) => *self = Self::Nowhere,
            _ => {}
        });
    }

    /// Reads what is there; the number of bytes.
    pub(crate) fn read(&mut self, buffer: &mut [u8]) -> usize {
        match self {
            Self::Nowhere => 0,
            Self::Port => uart::receive(buffer),
        }
    }

    /// Has `wake` called when there is something to read.
    pub(crate) fn on_input(&self, wake: Handler) {
        if let (Self::Port, Ok(line)) = (self, apic::route(uart::LINE, false)) {
            event::on_event(line, wake);
            uart::enable_interrupt();
        }
    }
}

/// Writes past whoever holds the line.
pub(crate) fn write_anyway(bytes: &[u8]) {
    uart::send(bytes);
}
