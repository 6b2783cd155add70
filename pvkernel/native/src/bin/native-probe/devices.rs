//! The probe's look at devices: a disk, a network card, the keyboard at the other end of the console.
//!
//! Each answers with a line of what was found, or with what was wrong. The test on the host has put a
//! pattern on the disk and looks at what is written there.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;

use pvkernel_core::device::block::{transfer, BlockDevice, BlockOp};
use pvkernel_core::device::net::{FrameMeta, Mac, NetDevice};
use pvkernel_native::thread::{self, WaitQueue};
use pvkernel_native::{console, time, virtio};

/// What was found, or what was wrong.
pub(crate) type Answer = Result<String, String>;

const SECTOR: usize = 512;
/// Sectors the host has filled, and as many behind them are written.
const FILLED: u64 = 2048;
/// Sectors in one request.
const STEP: u32 = 64;
/// How long an answer of the network may take.
const PATIENCE_NS: u64 = 10_000_000_000;

/// Looks at every device there is.
pub(crate) fn all() -> Answer {
    let found = virtio::probe();
    if let Some(text) = found.unusable.first() {
        return Err(text.clone());
    }
    let mut text = String::new();
    for (place, disk) in &found.disks {
        let counts = try_disk(&**disk).map_err(|error| format!("disk at {place}: {error}"))?;
        text += &format!("disk at {place}: {counts}; ");
    }
    for (place, card) in &found.cards {
        let mac = ask_gateway(&**card).map_err(|error| format!("card at {place}: {error}"))?;
        text += &format!("card at {place}: gateway {mac:02x?}; ");
    }
    // Devices are not taken away: the lines' handlers keep them.
    Ok(text)
}

/// The byte the host has written everywhere into a sector.
const fn pattern(sector: u64) -> u8 {
    (sector % 251) as u8
}

/// Reads what the host has filled, writes the complement behind it, makes it durable, reads it.
fn try_disk(disk: &dyn BlockDevice) -> Answer {
    let info = disk.info();
    if info.sectors < 2 * FILLED {
        return Err(format!("{} sectors are too few", info.sectors));
    }
    let start = time::now_ns();
    for first in (0..FILLED).step_by(STEP as usize) {
        move_sectors(disk, BlockOp::Read, first, pattern)?;
    }
    let written = |sector: u64| !pattern(sector - FILLED);
    for first in (FILLED..2 * FILLED).step_by(STEP as usize) {
        move_sectors(disk, BlockOp::Write, first, written)?;
    }
    transfer(thread::kernel(), disk, BlockOp::Flush, 0, 0, None)
        .0
        .map_err(|error| format!("flush: {error:?}"))?;
    for first in (FILLED..2 * FILLED).step_by(STEP as usize) {
        move_sectors(disk, BlockOp::Read, first, written)?;
    }
    let behind = move_sectors(disk, BlockOp::Read, info.sectors - 1, pattern);
    if behind.is_ok() {
        return Err("sectors behind its end can be read".into());
    }
    Ok(format!("{} sectors, {} us", info.sectors, (time::now_ns() - start) / 1000))
}

/// Reads sectors and compares them, or fills and writes them.
fn move_sectors(
    disk: &dyn BlockDevice,
    op: BlockOp,
    first: u64,
    byte: impl Fn(u64) -> u8,
) -> Result<(), String> {
    let mut buffer = disk.buffer(STEP as usize * SECTOR).map_err(|_| "no memory for a transfer")?;
    let sectors = || first..first + u64::from(STEP);
    if op == BlockOp::Write {
        let chunks = buffer.bytes_mut().chunks_exact_mut(SECTOR);
        chunks.zip(sectors()).for_each(|(chunk, sector)| chunk.fill(byte(sector)));
    }
    let (verdict, back) = transfer(thread::kernel(), disk, op, first, STEP, Some(buffer));
    verdict.map_err(|error| format!("{op:?} of sector {first}: {error:?}"))?;
    let back = back.ok_or("a transfer has lost its memory")?;
    let mut chunks = back.bytes().chunks_exact(SECTOR).zip(sectors());
    match chunks.find(|(chunk, sector)| chunk.iter().any(|found| *found != byte(*sector))) {
        Some((_, sector)) => Err(format!("{op:?}: sector {sector} has something else")),
        None => Ok(()),
    }
}

const BROADCAST: Mac = [0xff; 6];
/// Addresses in QEMU's user network.
const OWN_IP: [u8; 4] = [10, 0, 2, 15];
const GATEWAY_IP: [u8; 4] = [10, 0, 2, 2];
const REQUEST: u8 = 1;
const REPLY: u8 = 2;
const ARP_BYTES: usize = 42;
/// Where the operation, and the sender's address of either kind, are in a frame.
const OPERATION: usize = 21;
const SENDER: usize = 22;
const SENDER_IP: usize = 28;

/// Asks who has the gateway's address, and waits for its answer.
fn ask_gateway(card: &dyn NetDevice) -> Result<Mac, String> {
    static ARRIVED: WaitQueue = WaitQueue::new();
    let mac = card.info().mac;
    card.set_wake(Box::new(|| ARRIVED.wake_all()));
    // Ethernet, type ARP; Ethernet and IPv4, 6 and 4 bytes; who am I, whom do I look for.
    let head = [0x08, 0x06, 0, 1, 8, 0, 6, 4, 0, REQUEST];
    let parts: [&[u8]; 7] = [&BROADCAST, &mac, &head, &mac, &OWN_IP, &[0; 6], &GATEWAY_IP];
    let frame = parts.concat();
    let mut fill = |room: &mut [u8]| room.copy_from_slice(&frame);
    if !card.transmit(ARP_BYTES, FrameMeta::default(), &mut fill) {
        return Err("no room for a frame".into());
    }
    card.flush();
    let mut found = None;
    ARRIVED.wait_deadline(time::now_ns() + PATIENCE_NS, || {
        let mut look = |frame: &[u8], _| found = found.or(sender_of_reply(frame));
        while card.receive(&mut look) {}
        card.flush();
        found.is_some()
    });
    found.ok_or("the gateway does not answer".into())
}

/// Who answers, if a frame is the gateway's answer.
fn sender_of_reply(frame: &[u8]) -> Option<Mac> {
    let is_arp = frame.get(12..14) == Some(&[0x08, 0x06]) && frame.get(OPERATION) == Some(&REPLY);
    let is_gateway = frame.get(SENDER_IP..SENDER_IP + 4) == Some(&GATEWAY_IP);
    frame.get(SENDER..SENDER_IP).filter(|_| is_arp && is_gateway)?.try_into().ok()
}

/// Waits for a line of the person at the console.
pub(crate) fn typed_line() -> String {
    let mut line = String::new();
    loop {
        console::wait_input();
        while let Some(byte) = console::read_byte() {
            match byte {
                b'\r' | b'\n' => return line,
                byte => line.push(char::from(byte)),
            }
        }
    }
}
