//! `blktest`: does with a disk what its command line says, word by word.
//!
//! | word | what |
//! |---|---|
//! | `disk=NAME` | which disk from here on; `xvda` at first |
//! | `info` | prints size and abilities |
//! | `write=SEED` | fills the disk with a pattern that the seed decides, large requests in flight |
//! | `verify=SEED` | reads all of it back and compares |
//! | `random=N` | N reads and writes of all sizes against a copy in memory, many in flight |
//! | `refused` | a write must be refused, reading must go on |
//! | `flush`, `discard` | each once; the neighbours of discarded sectors stay |
//! | `bench` | small and large requests, one and many at a time |
//! | `soak=SECONDS` | writes and verifies a part of the disk again and again |
//! | `forever` | reads and writes until somebody ends it |
//! | `watch` | prints disks as they come and go, for ever |
//!
//! Each word answers with a line `blk: WORD ok ...`; the first that fails ends the guest.
#![cfg_attr(target_os = "none", no_std)]
#![no_main]

extern crate alloc;

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use pvkernel_core::device::block::{transfer, BlockDevice, BlockOp, BlockRequest, IoBuffer};
use pvkernel_core::device::measure::{self, Run};
use pvkernel_core::platform::BlockError;
use pvkernel_core::sync::Lock;
use pvkernel_xen::blkfront::{self, Blkfront};
use pvkernel_xen::boot::BootInfo;
use pvkernel_xen::{power, println, thread, time};

pvkernel_xen::entry!(run);

const SECTOR: usize = 512;
const SECOND_NS: u64 = 1_000_000_000;
/// How long a disk may take to be there.
const CONNECT_LIMIT_NS: u64 = 10 * SECOND_NS;
/// Sectors of the disk that `random` and `soak` use: 2 MiB.
const ARENA: u64 = 4096;

type Verdict = Result<String, String>;

fn run(boot: &'static BootInfo) -> ! {
    if let Err(errno) = blkfront::start() {
        println!("ZENDO-TEST blktest ERROR no disks: {}", errno.name());
        power::poweroff()
    }
    let mut disk = String::from("xvda");
    for word in boot.cmdline.split_ascii_whitespace() {
        let (name, value) = word.split_once('=').unwrap_or((word, ""));
        if name == "disk" {
            disk = value.to_string();
            continue;
        }
        match carry_out(name, value, &disk) {
            Ok(said) => println!("blk: {name} ok {said}"),
            Err(why) => {
                println!("ZENDO-TEST blktest FAILURE {word}: {why}");
                power::poweroff()
            }
        }
    }
    println!("ZENDO-TEST blktest SUCCESS");
    power::poweroff()
}

fn carry_out(name: &str, value: &str, disk: &str) -> Verdict {
    if name == "watch" {
        watch()
    }
    let disk = blkfront::wait_for(disk, time::now_ns() + CONNECT_LIMIT_NS)
        .ok_or_else(|| format!("{disk} is not there"))?;
    let number = value.parse().unwrap_or(0);
    match name {
        "info" => Ok(format!("{:?}", disk.info())),
        "write" => fill(&disk, number),
        "verify" => verify(&disk, number),
        "random" => random(&disk, number, 0),
        "refused" => refused(&disk),
        "flush" => one(&disk, BlockOp::Flush, 0, 0).map(|()| String::new()),
        "discard" => discard(&disk),
        "bench" => bench(&disk),
        "soak" => soak(&disk, number),
        "forever" => loop {
            random(&disk, 1000, time::now_ns())?;
        },
        _ => Err(String::from("no such word")),
    }
}

fn said(what: &str, error: BlockError) -> String {
    format!("{what}: {error:?}")
}

/// The 64-bit word at a place of the disk.
const fn pattern(seed: u64, sector: u64, word: u64) -> u64 {
    let mixed = (sector * 64 + word + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ seed;
    mixed ^ (mixed >> 29)
}

fn fill_sectors(bytes: &mut [u8], seed: u64, first: u64) {
    for (sector, bytes) in (first..).zip(bytes.chunks_exact_mut(SECTOR)) {
        for (word, bytes) in (0..).zip(bytes.chunks_exact_mut(8)) {
            bytes.copy_from_slice(&pattern(seed, sector, word).to_le_bytes());
        }
    }
}

fn check_sectors(bytes: &[u8], seed: u64, first: u64) -> Result<(), String> {
    for (sector, bytes) in (first..).zip(bytes.chunks_exact(SECTOR)) {
        for (word, bytes) in (0..).zip(bytes.chunks_exact(8)) {
            let expected = pattern(seed, sector, word).to_le_bytes();
            if bytes != expected {
                return Err(format!("sector {sector} word {word}: {bytes:x?} for {expected:x?}"));
            }
        }
    }
    Ok(())
}

type Ended = Arc<Lock<VecDeque<(u64, u32, Result<(), BlockError>, Option<IoBuffer>)>>>;

/// Requests in flight and their ends, for one thread.
struct Flight<'a> {
    disk: &'a Blkfront,
    ended: Ended,
    queue: Arc<thread::WaitQueue>,
    open: usize,
}

impl<'a> Flight<'a> {
    fn new(disk: &'a Blkfront) -> Self {
        let ended = Arc::new(Lock::new(VecDeque::new()));
        Self { disk, ended, queue: Arc::new(thread::WaitQueue::new()), open: 0 }
    }

    /// Starts a request, or gives the buffer back when the disk takes no more.
    fn start(&mut self, op: BlockOp, at: (u64, u32), buffer: IoBuffer) -> Result<(), IoBuffer> {
        let (ended, queue) = (Arc::clone(&self.ended), Arc::clone(&self.queue));
        let (sector, sectors) = at;
        let done = Box::new(move |verdict, buffer| {
            ended.lock().push_back((sector, sectors, verdict, buffer));
            queue.wake_all();
        });
        let request = BlockRequest { op, sector, sectors, buffer: Some(buffer), done };
        match self.disk.submit(request) {
            Ok(()) => {
                self.open += 1;
                Ok(())
            }
            Err(BlockRequest { buffer, .. }) => Err(buffer.expect("it was given")),
        }
    }

    /// Waits for the next end.
    fn next(&mut self) -> Result<Option<(u64, u32, IoBuffer)>, String> {
        if self.open == 0 {
            return Ok(None);
        }
        self.disk.kick();
        self.queue.wait_until(|| !self.ended.lock().is_empty());
        let ended = self.ended.lock().pop_front();
        let Some((sector, sectors, verdict, Some(buffer))) = ended else {
            return Err(String::from("a buffer did not come back"));
        };
        self.open -= 1;
        verdict.map_err(|error| said(&format!("sector {sector}+{sectors}"), error))?;
        Ok(Some((sector, sectors, buffer)))
    }
}

/// Goes over the whole disk in requests as large as possible, as many in flight as there is memory for.
fn sweep(
    disk: &Blkfront,
    op: BlockOp,
    mut before: impl FnMut(&mut [u8], u64),
    mut after: impl FnMut(&[u8], u64) -> Result<(), String>,
) -> Result<u64, String> {
    let info = disk.info();
    let mut flight = Flight::new(disk);
    let mut next = 0;
    loop {
        let sectors = u64::from(info.max_sectors).min(info.sectors - next) as u32;
        let buffer = (sectors > 0).then(|| disk.buffer(sectors as usize * SECTOR).ok()).flatten();
        if let Some(mut buffer) = buffer {
            before(&mut buffer.bytes_mut()[..sectors as usize * SECTOR], next);
            if flight.start(op, (next, sectors), buffer).is_ok() {
                next += u64::from(sectors);
                continue;
            }
        }
        match flight.next()? {
            Some((sector, sectors, buffer)) => {
                after(&buffer.bytes()[..sectors as usize * SECTOR], sector)?;
            }
            None if next == info.sectors => return Ok(next),
            None => return Err(String::from("no memory for one request")),
        }
    }
}

fn fill(disk: &Blkfront, seed: u64) -> Verdict {
    let fill = |bytes: &mut [u8], first| fill_sectors(bytes, seed, first);
    let sectors = sweep(disk, BlockOp::Write, fill, |_, _| Ok(()))?;
    one(disk, BlockOp::Flush, 0, 0)?;
    Ok(format!("{sectors} sectors"))
}

fn verify(disk: &Blkfront, seed: u64) -> Verdict {
    let check = |bytes: &[u8], first| check_sectors(bytes, seed, first);
    let sectors = sweep(disk, BlockOp::Read, |bytes, _| bytes.fill(0x5a), check)?;
    Ok(format!("{sectors} sectors"))
}

/// One request without bytes.
fn one(disk: &Blkfront, op: BlockOp, sector: u64, sectors: u32) -> Result<(), String> {
    let (verdict, _) = transfer(thread::kernel(), disk, op, sector, sectors, None);
    verdict.map_err(|error| said(&format!("{op:?}"), error))
}

/// Bytes of one request.
fn read(disk: &Blkfront, sector: u64, sectors: u32) -> Result<Vec<u8>, String> {
    let buffer = disk.buffer(sectors as usize * SECTOR).map_err(|_| "no memory")?;
    let op = BlockOp::Read;
    let (verdict, buffer) = transfer(thread::kernel(), disk, op, sector, sectors, Some(buffer));
    verdict.map_err(|error| said("read", error))?;
    Ok(buffer.ok_or("no buffer")?.bytes()[..sectors as usize * SECTOR].to_vec())
}

fn write(disk: &Blkfront, sector: u64, bytes: &[u8]) -> Result<(), BlockError> {
    let mut buffer = disk.buffer(bytes.len()).map_err(|_| BlockError::Device)?;
    buffer.bytes_mut()[..bytes.len()].copy_from_slice(bytes);
    let (op, sectors) = (BlockOp::Write, (bytes.len() / SECTOR) as u32);
    transfer(thread::kernel(), disk, op, sector, sectors, Some(buffer)).0
}

/// Requests that do not overlap in flight, compared with a copy.
fn random(disk: &Blkfront, count: u64, seed: u64) -> Verdict {
    let arena = disk.info().sectors.min(ARENA);
    let mut model = vec![0; arena as usize * SECTOR];
    for first in (0..arena).step_by(256) {
        let sectors = (arena - first).min(256) as u32;
        let at = first as usize * SECTOR;
        let bytes = read(disk, first, sectors)?;
        model[at..at + bytes.len()].copy_from_slice(&bytes);
    }
    let mut state = seed | 1;
    let mut dice = |below: u64| {
        state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
        (state >> 33) % below
    };
    let mut flight = Flight::new(disk);
    let mut busy: Vec<(u64, u32, bool)> = Vec::new();
    let mut left = count;
    loop {
        let most = if dice(8) == 0 { 300 } else { 16 };
        let sectors = (1 + dice(most)) as u32;
        let sector = dice(arena - u64::from(sectors).min(arena - 1));
        let writes = dice(2) == 0;
        let is_free = |(first, count, _): &(u64, u32, bool)| {
            sector + u64::from(sectors) <= *first || first + u64::from(*count) <= sector
        };
        let fits = sector + u64::from(sectors) <= arena && busy.iter().all(is_free);
        let range = sector as usize * SECTOR..(sector as usize + sectors as usize) * SECTOR;
        let buffer = disk.buffer(sectors as usize * SECTOR).ok();
        if let (true, true, Some(mut buffer)) = (left > 0, fits, buffer) {
            let bytes = &mut buffer.bytes_mut()[..sectors as usize * SECTOR];
            let op = if writes { BlockOp::Write } else { BlockOp::Read };
            if writes {
                fill_sectors(bytes, left ^ seed, sector);
            }
            let bytes = bytes.to_vec();
            if flight.start(op, (sector, sectors), buffer).is_ok() {
                if writes {
                    model[range].copy_from_slice(&bytes);
                }
                busy.push((sector, sectors, writes));
                left -= 1;
                continue;
            }
        }
        match flight.next()? {
            None if left == 0 => return Ok(format!("{count} requests")),
            None => {}
            Some((sector, sectors, buffer)) => {
                let place = busy.iter().position(|one| (one.0, one.1) == (sector, sectors));
                let (.., wrote) = busy.swap_remove(place.ok_or("an end of nothing")?);
                let range = sector as usize * SECTOR..(sector as usize + sectors as usize) * SECTOR;
                if !wrote && buffer.bytes()[..sectors as usize * SECTOR] != model[range] {
                    return Err(format!("sector {sector}+{sectors} is not what was written"));
                }
            }
        }
    }
}

fn refused(disk: &Blkfront) -> Verdict {
    if !disk.info().read_only {
        return Err(String::from("the disk says it can be written"));
    }
    let verdict = write(disk, 0, &[0; SECTOR]);
    read(disk, 0, 8)?;
    match verdict {
        Err(BlockError::ReadOnly) => Ok(String::from("read-only")),
        other => Err(format!("a write ended with {other:?}")),
    }
}

fn discard(disk: &Blkfront) -> Verdict {
    if !disk.info().can_discard {
        return Ok(String::from("not offered"));
    }
    write(disk, 8, &[7; 8 * SECTOR]).map_err(|error| said("write", error))?;
    one(disk, BlockOp::Discard, 9, 4)?;
    let bytes = read(disk, 8, 8)?;
    // What was forgotten may be anything, but its neighbours are as they were.
    let (before, rest) = bytes.split_at(SECTOR);
    let (forgotten, behind) = rest.split_at(4 * SECTOR);
    if before.iter().chain(behind).any(|byte| *byte != 7) {
        return Err(String::from("sectors beside it changed"));
    }
    let is_zero = forgotten.iter().all(|byte| *byte == 0);
    Ok(String::from(if is_zero { "zero" } else { "as it was" }))
}

fn bench(disk: &Blkfront) -> Verdict {
    let large = (disk.info().max_sectors as usize * SECTOR).min(1 << 20);
    for op in [BlockOp::Read, BlockOp::Write] {
        if op == BlockOp::Write && disk.info().read_only {
            continue;
        }
        for (what, bytes, depth, requests) in [
            ("warm", large, 3, 100),
            ("small-single", 4096, 1, 2000),
            ("small-many", 4096, 16, 8000),
            ("large-single", large, 1, 200),
            ("large-many", large, 3, 400),
        ] {
            let plan = Run { op, bytes, depth, requests, is_random: bytes == 4096 };
            let figures =
                measure::run(thread::kernel(), disk, &plan).map_err(|error| said(what, error))?;
            let (ns, rate) = (figures.ns_each(), figures.megabytes_s());
            let name = if op == BlockOp::Read { "read" } else { "write" };
            println!("blk: bench {name} {what} ns={ns} mb_s={rate}");
        }
    }
    Ok(String::new())
}

fn soak(disk: &Blkfront, seconds: u64) -> Verdict {
    let end_ns = time::now_ns() + seconds * SECOND_NS;
    let mut rounds = 0;
    while time::now_ns() < end_ns {
        random(disk, 200, rounds)?;
        rounds += 1;
        println!("blk: round {rounds}");
    }
    Ok(format!("{rounds} rounds"))
}

fn watch() -> ! {
    let mut known: Vec<String> = Vec::new();
    println!("blk: watching");
    loop {
        let disks = blkfront::disks();
        let now: Vec<String> = disks
            .iter()
            .filter(|disk| disk.is_connected())
            .map(|disk| disk.name().to_string())
            .collect();
        for name in now.iter().filter(|name| !known.contains(name)) {
            println!("blk: {name} is there");
        }
        for name in known.iter().filter(|name| !now.contains(name)) {
            println!("blk: {name} is gone");
        }
        known = now;
        blkfront::wait_for_change(time::now_ns() + SECOND_NS);
    }
}
