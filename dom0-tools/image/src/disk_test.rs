//! The command `disk-test`: whether a disk keeps what it is given, and how fast it is.
//!
//! Without `-w` nothing is written. With it the first sectors are overwritten by a pattern that depends
//! on their place, made durable, and compared. The hash of the first sectors lets somebody who knows
//! what is on the disk (a test on the host) compare as well.

use crate::devices;
use crate::terminal::Terminal;
use alloc::boxed::Box;
use alloc::format;
use alloc::sync::Arc;
use alloc::vec::Vec;
use pvkernel_core::device::block::{
    BlockDevice, BlockOp, BlockRequest, IoBuffer, IoMemory, SECTOR,
};
use pvkernel_core::device::ram::RamDisk;
use pvkernel_core::platform::BlockError;
use pvkernel_core::sync::Lock;
use pvkernel_xen::pages::Pages;
use pvkernel_xen::thread::{self, WaitQueue};
use pvkernel_xen::time;
use zl_toolstack::config::shown;
use zl_toolstack::{Status, ToolError};

/// Sectors that are hashed, and written with `-w`, if the disk has so many: 8 MiB.
const TESTED: u64 = 16 << 10;
/// Bytes of a small and of a large transfer.
const SMALL: usize = 4 << 10;
const LARGE: usize = 256 << 10;
/// Large transfers in flight: together 1 MiB, which is what a disk has memory for.
const LARGE_DEPTH: u32 = 4;
/// Small transfers of a measurement.
const SMALL_COUNT: u64 = 4000;
/// Sectors that are read in a measurement, again and again.
const MEASURED: u64 = 64 << 10;

const FNV_START: u64 = 0xcbf2_9ce4_8422_2325;
const FNV_PRIME: u64 = 0x100_0000_01b3;
const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;
const NS_PER_S: u64 = 1_000_000_000;
const SECTORS_PER_MIB: u64 = 2048;
/// Largest RAM disk.
const MOST_MIB: u64 = 1024;

/// What the requests of one pass share.
struct Pass {
    state: Lock<State>,
    ended: WaitQueue,
}

struct State {
    running: u32,
    /// Memory that came back, with the first sector it is about.
    back: Vec<(u64, IoBuffer)>,
    /// What failed first, and where.
    failed: Option<(u64, BlockError)>,
}

/// Looks at memory before it goes to the disk, or after it came back; the number is its first sector.
type Look<'a> = &'a mut dyn FnMut(u64, &mut dyn IoMemory);

/// Moves transfers of `bytes` bytes at the `sectors`, with at most `depth` in flight.
fn pass(
    disk: &dyn BlockDevice,
    op: BlockOp,
    (bytes, depth): (usize, u32),
    sectors: &mut dyn Iterator<Item = u64>,
    look: Look<'_>,
) -> Result<(), ToolError> {
    let state = State { running: 0, back: Vec::new(), failed: None };
    let pass = Arc::new(Pass { state: Lock::new(state), ended: WaitQueue::new() });
    let mut free: Vec<IoBuffer> = Vec::new();
    for _ in 0..depth {
        free.push(disk.buffer(bytes).map_err(|_| ToolError::failed("disk-test: no memory"))?);
    }
    let mut next = sectors.next();
    loop {
        while let Some((sector, mut buffer)) = next.and_then(|sector| Some((sector, free.pop()?))) {
            if op == BlockOp::Write {
                look(sector, &mut *buffer);
            }
            start(disk, &pass, op, sector, bytes, buffer)?;
            next = sectors.next();
        }
        disk.kick();
        let all = next.is_none();
        pass.ended.wait_until(|| {
            let state = pass.state.lock();
            (!state.back.is_empty() && !all) || state.running == 0
        });
        let mut state = pass.state.lock();
        let back = core::mem::take(&mut state.back);
        let (running, failed) = (state.running, state.failed);
        drop(state);
        for (sector, mut buffer) in back {
            if op == BlockOp::Read {
                look(sector, &mut *buffer);
            }
            free.push(buffer);
        }
        if failed.is_some() {
            next = None;
        }
        if let (Some((sector, error)), 0) = (failed, running) {
            return Err(ToolError::failed(format!(
                "disk-test: {op:?} at sector {sector}: {error:?}"
            )));
        }
        if next.is_none() && running == 0 {
            return Ok(());
        }
    }
}

fn start(
    disk: &dyn BlockDevice,
    pass: &Arc<Pass>,
    op: BlockOp,
    sector: u64,
    bytes: usize,
    buffer: IoBuffer,
) -> Result<(), ToolError> {
    let told = Arc::clone(pass);
    let done = Box::new(move |verdict: Result<(), BlockError>, buffer: Option<IoBuffer>| {
        let mut state = told.state.lock();
        state.running -= 1;
        state.back.extend(buffer.map(|buffer| (sector, buffer)));
        if let Err(error) = verdict {
            state.failed.get_or_insert((sector, error));
        }
        drop(state);
        told.ended.wake_all();
    });
    pass.state.lock().running += 1;
    let sectors = (bytes / SECTOR) as u32;
    let request = BlockRequest { op, sector, sectors, buffer: Some(buffer), done };
    let refused = disk.submit(request).is_err();
    match refused {
        true => Err(ToolError::failed("disk-test: the disk takes fewer requests than it says")),
        false => Ok(()),
    }
}

/// The word at a place of the pattern.
fn pattern(word: u64) -> u64 {
    word.wrapping_add(1).wrapping_mul(SPREAD)
}

fn words(sector: u64, memory: &mut dyn IoMemory, mut each: impl FnMut(u64, &mut [u8])) {
    let first = sector * (SECTOR / 8) as u64;
    (first..).zip(memory.bytes_mut().chunks_exact_mut(8)).for_each(|(at, word)| each(at, word));
}

fn number(word: &[u8]) -> u64 {
    u64::from_le_bytes(word.try_into().unwrap_or_default())
}

/// Starts of transfers, one behind the other.
fn starts(sectors: u64, bytes: usize) -> impl Iterator<Item = u64> {
    let step = (bytes / SECTOR) as u64;
    (0..sectors / step).map(move |index| index * step)
}

/// The hash of the first sectors: word by word, in order.
fn hash(disk: &dyn BlockDevice, sectors: u64) -> Result<u64, ToolError> {
    let mut hash = FNV_START;
    pass(disk, BlockOp::Read, (SMALL, 1), &mut starts(sectors, SMALL), &mut |sector, memory| {
        words(sector, memory, |_, word| hash = (hash ^ number(word)).wrapping_mul(FNV_PRIME));
    })?;
    Ok(hash)
}

/// Writes the pattern, makes it durable, and counts the words that come back as something else.
fn write(disk: &dyn BlockDevice, sectors: u64) -> Result<u64, ToolError> {
    let shape = (SMALL * 4, 8);
    pass(disk, BlockOp::Write, shape, &mut starts(sectors, shape.0), &mut |sector, memory| {
        words(sector, memory, |at, word| word.copy_from_slice(&pattern(at).to_le_bytes()));
    })?;
    let kernel = thread::kernel();
    let flush = pvkernel_core::device::block::transfer(kernel, disk, BlockOp::Flush, 0, 0, None);
    flush.0.map_err(|error| ToolError::failed(format!("disk-test: Flush: {error:?}")))?;
    let mut wrong = 0;
    pass(disk, BlockOp::Read, shape, &mut starts(sectors, shape.0), &mut |sector, memory| {
        words(sector, memory, |at, word| wrong += u64::from(number(word) != pattern(at)));
    })?;
    Ok(wrong)
}

/// Transfers a second.
fn rate(
    disk: &dyn BlockDevice,
    op: BlockOp,
    shape: (usize, u32),
    count: u64,
    sectors: u64,
) -> Result<u64, ToolError> {
    let starts = starts(sectors, shape.0).count() as u64;
    let step = (shape.0 / SECTOR) as u64;
    let from = time::now_ns();
    let mut order = (0..count).map(|index| index % starts.max(1) * step);
    pass(disk, op, shape, &mut order, &mut |_, _| {})?;
    Ok(count * NS_PER_S / (time::now_ns() - from).max(1))
}

/// The disk of this name, or a RAM disk that is gone afterwards: `ram:8` has 8 MiB.
fn find(name: &str) -> Result<Arc<dyn BlockDevice>, ToolError> {
    if let Some(size) = name.strip_prefix("ram:") {
        let mib =
            size.parse().ok().filter(|mib| (1..=MOST_MIB).contains(mib)).ok_or_else(|| {
                let size = shown(size);
                let text =
                    format!("disk-test: ram:{size}: wanted is a size from 1 to {MOST_MIB} MiB");
                ToolError::failed(text)
            })?;
        let disk = RamDisk::new(mib * SECTORS_PER_MIB, Pages::source);
        return match disk {
            Ok(disk) => Ok(Arc::new(disk)),
            Err(_) => {
                Err(ToolError::failed("disk-test: no memory for so large a disk; see 'free'"))
            }
        };
    }
    devices::disk(name).ok_or_else(|| {
        let name = shown(name);
        ToolError::failed(format!("disk-test: no disk is called '{name}'; see 'devices'"))
    })
}

/// The command.
pub fn run(name: &str, writes: bool, terminal: &dyn Terminal) -> Result<Status, ToolError> {
    let disk = find(name)?;
    let sectors = disk.info().sectors;
    let tested = sectors.min(TESTED);
    let hash = hash(&*disk, tested)?;
    terminal.print(&format!("{name}: sectors={sectors} hashed={tested} hash={hash:016x}\n"));
    if writes {
        let wrong = write(&*disk, tested)?;
        terminal.print(&format!("{name}: written={tested} wrong_words={wrong}\n"));
        if wrong > 0 {
            return Err(ToolError::failed("disk-test: the disk does not keep what it is given"));
        }
    }
    let area = sectors.min(MEASURED);
    let one = rate(&*disk, BlockOp::Read, (SMALL, 1), SMALL_COUNT, area)?;
    let many = rate(&*disk, BlockOp::Read, (SMALL, 32), SMALL_COUNT, area)?;
    let large = rate(&*disk, BlockOp::Read, (LARGE, LARGE_DEPTH), 512, area)?;
    let mb = large * LARGE as u64 / 1_000_000;
    terminal
        .print(&format!("{name}: read_4k={one}/s read_4k_depth32={many}/s read_256k={mb}MB/s\n"));
    Ok(Status::Ok)
}
