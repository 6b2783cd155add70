//! `nettest`: frames through a network card, below any IP.
//!
//! Without further words it serves: it echoes pings, counts data, and answers an end of data with what
//! it counted. With `ask=WAY` it finds such a server by a broadcast and measures it: `ping` once in a
//! while, `flood` one behind the other, `send` as much as goes. `len=`, `count=` and `card=` say how long
//! frames are, how many there are, and which card is used. With `badly` it serves and floods the switch
//! with frames from ever new addresses.
#![cfg_attr(target_os = "none", no_std)]
#![no_main]

extern crate alloc;

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use pvkernel_core::device::net::{FrameMeta, Mac, NetDevice, ETHERNET_HEAD};
use pvkernel_xen::boot::BootInfo;
use pvkernel_xen::netfront::{wait_card, Netfront};
use pvkernel_xen::thread::{self, WaitQueue};
use pvkernel_xen::{power, println, time};

pvkernel_xen::entry!(run);

const SECOND_NS: u64 = 1_000_000_000;
/// How long the answer to a ping may take: others may want all of the machine meanwhile.
const ANSWER_NS: u64 = 10 * SECOND_NS;
const BROADCAST: Mac = [0xff; 6];
/// For local experiments (IEEE 802).
const ETHERTYPE: [u8; 2] = [0x88, 0xb5];
/// Head, what it is, a number.
const SHORTEST: usize = ETHERNET_HEAD + 9;

/// What a frame is.
const PING: u8 = 1;
const PONG: u8 = 2;
const DATA: u8 = 3;
const END: u8 = 4;
const COUNTED: u8 = 5;

static WORK: WaitQueue = WaitQueue::new();
static HAS_NEWS: AtomicBool = AtomicBool::new(false);
static SERVED: AtomicU64 = AtomicU64::new(0);

type Verdict = Result<(), &'static str>;

fn run(boot: &'static BootInfo) -> ! {
    let args = boot.args();
    let index = args.number("card").unwrap_or(0) as u32;
    let Some(card) = wait_card(index, time::now_ns() + 10 * SECOND_NS) else {
        println!("ZENDO-TEST nettest ERROR there is no network card {index}");
        power::poweroff()
    };
    card.set_wake(Box::new(|| {
        HAS_NEWS.store(true, Ordering::Release);
        WORK.wake_all();
    }));
    println!("nettest: card {index}, mtu {}", card.info().mtu);
    let len = args.number("len").unwrap_or(64) as usize;
    let count = args.number("count").unwrap_or(100);
    let tester = Tester { card, len: len.max(SHORTEST) };
    let verdict = match args.value("ask") {
        None if args.has("badly") => tester.invent(),
        None => tester.serve(),
        Some("ping") => tester.ping(count, 10_000_000),
        Some("flood") => tester.ping(count, 0),
        Some("send") => tester.send(count),
        Some(_) => Err("ask= is ping, flood or send"),
    };
    match verdict {
        Ok(()) => println!("ZENDO-TEST nettest SUCCESS"),
        Err(why) => println!("ZENDO-TEST nettest FAILURE {why}"),
    }
    power::poweroff()
}

/// A frame that came in: from whom, what, and its number.
#[derive(Clone, Copy)]
struct Seen {
    from: Mac,
    what: u8,
    number: u64,
    len: usize,
}

fn parse(frame: &[u8]) -> Option<Seen> {
    let what = *frame.get(14)?;
    let number = u64::from_le_bytes(*frame.get(15..)?.first_chunk()?);
    let from = *frame.get(6..)?.first_chunk()?;
    (frame.get(12..14)? == ETHERTYPE).then_some(Seen { from, what, number, len: frame.len() })
}

fn write_head(to: &mut [u8], dest: Mac, source: Mac, what: u8, number: u64) {
    to[..6].copy_from_slice(&dest);
    to[6..12].copy_from_slice(&source);
    to[12..14].copy_from_slice(&ETHERTYPE);
    to[14] = what;
    to[15..SHORTEST].copy_from_slice(&number.to_le_bytes());
}

struct Tester {
    card: Arc<Netfront>,
    len: usize,
}

impl Tester {
    /// Waits for the card to have news; false when the time is over.
    fn wait(&self, deadline_ns: u64) -> bool {
        let is_told = || HAS_NEWS.swap(false, Ordering::Acquire);
        WORK.wait_deadline(deadline_ns, is_told)
    }

    /// Sends a frame, as soon as there is room.
    fn put(&self, dest: Mac, what: u8, number: u64, len: usize) {
        let mac = self.card.info().mac;
        let meta = FrameMeta::default();
        let mut fill = |to: &mut [u8]| write_head(to, dest, mac, what, number);
        while !self.card.transmit(len, meta, &mut fill) {
            self.card.flush();
            self.wait(time::now_ns() + SECOND_NS);
        }
    }

    /// The next frame that is one of ours.
    fn take(&self, deadline_ns: u64) -> Option<Seen> {
        loop {
            let mut seen = None;
            while seen.is_none() && self.card.receive(&mut |frame, _| seen = parse(frame)) {}
            if seen.is_some() {
                return seen;
            }
            self.card.flush();
            if !self.card.has_received() && !self.wait(deadline_ns) {
                return None;
            }
        }
    }

    fn serve(&self) -> Verdict {
        println!("nettest: ready");
        let (mut bytes, mut frames, mut since_ns) = (0u64, 0u64, 0);
        loop {
            let Some(seen) = self.take(u64::MAX) else { continue };
            match seen.what {
                PING => {
                    if seen.number == 0 {
                        // Somebody begins; what came before was not for counting.
                        (bytes, frames) = (0, 0);
                    }
                    self.put(seen.from, PONG, seen.number, seen.len);
                    // At once: while others flood this card there is always something to take.
                    self.card.flush();
                    SERVED.fetch_add(1, Ordering::Relaxed);
                }
                DATA => {
                    since_ns = if frames == 0 { time::now_ns() } else { since_ns };
                    frames += 1;
                    bytes += seen.len as u64;
                }
                END => {
                    let us = (time::now_ns() - since_ns) / 1000;
                    println!(
                        "nettest: {frames} of {} frames, {bytes} bytes in {us} us",
                        seen.number
                    );
                    self.put(seen.from, COUNTED, bytes, SHORTEST);
                    (bytes, frames) = (0, 0);
                }
                _ => {}
            }
        }
    }

    /// Finds the server.
    fn find(&self) -> Result<Mac, &'static str> {
        for _ in 0..50 {
            self.put(BROADCAST, PING, 0, SHORTEST);
            self.card.flush();
            let limit_ns = time::now_ns() + SECOND_NS / 10;
            while let Some(seen) = self.take(limit_ns) {
                if seen.what == PONG {
                    return Ok(seen.from);
                }
            }
        }
        Err("nobody answers a broadcast")
    }

    fn ping(&self, count: u64, pause_ns: u64) -> Verdict {
        let server = self.find()?;
        let (mut sum_ns, mut worst_ns) = (0, 0);
        for number in 1..=count {
            if pause_ns > 0 {
                thread::sleep_ns(pause_ns);
            }
            let start_ns = time::now_ns();
            self.put(server, PING, number, self.len);
            self.card.flush();
            loop {
                let seen = self.take(start_ns + ANSWER_NS).ok_or("an answer is missing")?;
                if (seen.what, seen.number) == (PONG, number) {
                    break;
                }
            }
            let ns = time::now_ns() - start_ns;
            sum_ns += ns;
            worst_ns = worst_ns.max(ns);
        }
        let (average, worst) = (sum_ns / count.max(1) / 1000, worst_ns / 1000);
        println!("nettest: {count} pings of {} bytes, {average} us, {worst} us at most", self.len);
        Ok(())
    }

    /// Sends frames in windows, as a protocol with acknowledgements does.
    fn send(&self, count: u64) -> Verdict {
        const WINDOW_BYTES: usize = 512 << 10;
        let server = self.find()?;
        let window = (WINDOW_BYTES / self.len).clamp(2, 200) as u64;
        let start_ns = time::now_ns();
        let (mut sent, mut acknowledged) = (0, 0);
        while acknowledged < count {
            while sent < count && sent - acknowledged < window {
                sent += 1;
                let asks = sent % (window / 2) == 0 || sent == count;
                self.put(
                    server,
                    if asks { PING } else { DATA },
                    sent,
                    if asks { SHORTEST } else { self.len },
                );
            }
            let seen = self.take(time::now_ns() + SECOND_NS).ok_or("an answer is missing")?;
            if seen.what == PONG {
                acknowledged = seen.number;
            }
        }
        let us = (time::now_ns() - start_ns) / 1000;
        self.put(server, END, count, SHORTEST);
        let counted = loop {
            let seen = self.take(time::now_ns() + SECOND_NS).ok_or("the end is not answered")?;
            if seen.what == COUNTED {
                break seen.number;
            }
        };
        let rate = counted * 8 / us.max(1);
        println!("nettest: {counted} bytes in frames of {} in {us} us, {rate} Mbit/s", self.len);
        let data = count - count / (window / 2) - u64::from(!count.is_multiple_of(window / 2));
        match counted == data * self.len as u64 {
            true => Ok(()),
            false => Err("frames were lost"),
        }
    }

    /// Sends frames from addresses that it makes up.
    fn invent(&self) -> Verdict {
        println!("nettest: ready");
        for number in 0u64.. {
            let [a, b, c, d, ..] = number.to_le_bytes();
            let mut fill =
                |to: &mut [u8]| write_head(to, BROADCAST, [2, 0xee, a, b, c, d], DATA, number);
            while !self.card.transmit(SHORTEST, FrameMeta::default(), &mut fill) {
                self.card.flush();
                self.wait(time::now_ns() + SECOND_NS);
            }
            while self.card.receive(&mut |_, _| ()) {}
        }
        Ok(())
    }
}
