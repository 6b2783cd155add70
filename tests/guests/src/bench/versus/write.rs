//! Writing characters: to a port, by hypercall, into a ring.

use core::arch::asm;

use alloc::boxed::Box;
use core::sync::atomic::{AtomicU64, Ordering};
use hypercall_abi::shared_info::OFFSET_EVTCHN_PENDING;
use hypercall_abi::{DomId, EvtchnPort};
use pv_ring::{ConsolePage, Consumer, Producer};
use pvkernel_core::println;
use pvkernel_xen::hypercall::{evtchn, misc, physdev};
use pvkernel_xen::{boot, event};

use super::{batch, rounds, wanted, MOST};
use crate::meter::{Meter, Row};

/// Text for the console.
const DOTS: [u8; MOST] = [b'.'; MOST];

/// Runs the topic.
pub fn run(m: &mut Meter) {
    port(m);
    console(m);
    ring(m);
}

/// A page register of the DMA controller: nothing uses it, and it can be read back.
const SPARE_PORT: u16 = 0x83;

fn port_in() -> u8 {
    let value: u8;
    // SAFETY: reads a register that nothing uses.
    unsafe { asm!("in al, dx", in("dx") SPARE_PORT, out("al") value) };
    value
}

/// One byte to a port, as a driver of a serial line writes its data register.
fn port(m: &mut Meter) {
    let row = Row::new("versus_write_trap", "byte");
    if !m.wants(&[row]) {
        return;
    }
    if !boot::info().is_dom0 {
        return m.absent(row, "ports are the control domain's");
    }
    let _ = physdev::set_iopl(1);
    let old = port_in();
    let write = |value: &mut u8| {
        *value = value.wrapping_add(1);
        // SAFETY: writes a register that nothing uses.
        unsafe { asm!("out dx, al", in("dx") SPARE_PORT, in("al") *value) };
    };
    m.cost(row, old, write, |value, made| {
        port_in() == *value && *value == old.wrapping_add(made as u8)
    });
    let _ = physdev::set_iopl(0);
}

/// `console_io` with N bytes. What proves it can be seen: the dots.
fn console(m: &mut Meter) {
    for (size, row) in batch!("versus_write_console", "byte") {
        if !boot::info().is_dom0 {
            m.absent(row, "the console is the control domain's");
            continue;
        }
        let write = |refused: &mut u64| {
            *refused += u64::from(misc::console_write(&DOTS[..size]).is_err());
        };
        m.cost(row.rounds(20), 0, write, |refused, _| {
            println!();
            *refused == 0
        });
    }
}

/// A channel whose two ends are ports of this domain.
pub struct Loopback {
    near: EvtchnPort,
    /// The end that is notified.
    pub far: EvtchnPort,
}

impl Loopback {
    /// A channel of two new ports.
    pub fn new() -> Loopback {
        let far = evtchn::alloc_unbound(DomId::SELF, DomId::SELF).unwrap_or_default();
        let near = evtchn::bind_interdomain(DomId::SELF, far).unwrap_or_default();
        Loopback { near, far }
    }

    /// The word of the pending bits of the far end.
    pub fn pending(&self) -> &'static AtomicU64 {
        let word = self.far.get() as usize / 64;
        event::shared_info().u64_at(OFFSET_EVTCHN_PENDING + 8 * word)
    }

    /// Its bit in this word.
    pub fn bit(&self) -> u64 {
        1 << (self.far.get() % 64)
    }

    /// Whether the far end was notified; it is not afterwards.
    pub fn take(&self) -> bool {
        self.pending().fetch_and(!self.bit(), Ordering::SeqCst) & self.bit() != 0
    }
}

impl Drop for Loopback {
    fn drop(&mut self) {
        // Fails only when the ports could not be had; then the rows' proofs have said so.
        let _ = (evtchn::close(self.near), evtchn::close(self.far));
    }
}

/// The console page, written by one end with the kernel's own code and read by the other.
struct Ring {
    page: Box<ConsolePage>,
    output: Producer,
    reader: Consumer,
    read: usize,
}

impl Ring {
    fn new() -> Ring {
        let page = Box::new(ConsolePage::new());
        let (output, reader) = (Producer::attach(&page.output()), Consumer::attach(&page.output()));
        Ring { page, output, reader, read: 0 }
    }

    fn write(&mut self, bytes: &[u8]) {
        // What does not arrive is missed by the reader's count.
        let _ = self.output.write(&self.page.output(), bytes);
    }

    fn drain(&mut self) {
        let mut buffer = [0; MOST];
        self.read += self.reader.read(&self.page.output(), &mut buffer).unwrap_or(0);
    }
}

/// N bytes into a ring, with and without a notification for the reader.
fn ring(m: &mut Meter) {
    let (noticed, quiet) =
        (batch!("versus_write_ring", "byte"), batch!("versus_write_quiet", "byte"));
    if !wanted(m, &noticed) && !wanted(m, &quiet) {
        return;
    }
    let ports = Loopback::new();
    for (size, row) in noticed {
        let write = |(ring, notices): &mut (Ring, u64), parts: &mut crate::meter::Parts| {
            parts.time(0, || {
                ring.write(&DOTS[..size]);
                let _ = evtchn::send(ports.near);
            });
            *notices += u64::from(ports.take());
            ring.drain();
        };
        m.parts([row.rounds(rounds(size))], (Ring::new(), 0), write, |(ring, notices), made| {
            ring.read as u64 == made * size as u64 && *notices == made
        });
    }
    for (size, row) in quiet {
        let write = |ring: &mut Ring, parts: &mut crate::meter::Parts| {
            parts.time(0, || ring.write(&DOTS[..size]));
            ring.drain();
        };
        m.parts([row.rounds(rounds(size))], Ring::new(), write, |ring, made| {
            ring.read as u64 == made * size as u64
        });
    }
}
