//! Files as disks of domains.
//!
//! A request whose bytes lie in one piece goes straight to the disk below, with its own memory and its own
//! end: such a disk is as fast as the whole disk would be. Everything else (blocks that are missing,
//! pieces, the last bytes) waits in a bounded queue for the file's thread, which may wait for the file
//! system. Several requests are in no order, as on any disk; a flush covers what had ended before.
//!
//! The file is in use from `open` until the disk is dropped. The thread then ends by itself and leaves
//! nothing.

use super::disk::Blocking;
use super::{with, DISK};
use crate::devices;
use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use pvkernel_core::device::block::{
    BlockDevice, BlockInfo, BlockOp, BlockRequest, IoBuffer, SECTOR,
};
use pvkernel_core::platform::{BlockError, OutOfMemory};
use pvkernel_core::sync::Lock;
use pvkernel_xen::thread::WaitQueue;
use pvkernel_xen::{println, thread, time};
use zl_files::image::{self, World};
use zl_files::{Disk, FileError, Files, Hold, Places, What};

/// Requests that may wait for the thread.
const WAITING_MOST: usize = 64;

/// How long `settle` waits.
const SETTLE_NS: u64 = 5_000_000_000;

/// Threads whose disk is gone, but not they.
static ENDING: AtomicUsize = AtomicUsize::new(0);
static ENDED: WaitQueue = WaitQueue::new();

/// Waits until nothing is left of disks that were closed: for who counts what is in use.
pub fn settle() {
    let is_quiet = || ENDING.load(Ordering::Acquire) == 0;
    ENDED.wait_deadline(time::now_ns() + SETTLE_NS, is_quiet);
}

/// Opens a file as a disk. May wait.
///
/// # Errors
/// One line.
pub fn open_disk(path: &str, writable: bool) -> Result<Arc<dyn BlockDevice>, String> {
    let device = devices::disk(DISK).ok_or_else(|| format!("file:{path}: dom0 has no disk"))?;
    let below = Arc::clone(&device);
    let hold = with(|files| Ok(files.hold(path, writable, || Box::new(Blocking::new(below)))))
        .map_err(|error| format!("file:{path}: {}", error.text))?
        .map_err(|error| said(path, error.what))?;
    if hold.size() < SECTOR as u64 {
        return Err(format!("file:{path}: is empty; 'truncate -s 64M {path}' gives it a size"));
    }
    let info = BlockInfo {
        sectors: hold.size() / SECTOR as u64,
        read_only: !writable,
        can_flush: true,
        can_discard: false,
        ..device.info()
    };
    let hold = Arc::new(hold);
    let shared = Arc::new(Shared {
        path: path.to_string(),
        device: Arc::clone(&device),
        info,
        hold: Lock::new(Some(Arc::clone(&hold))),
        places: Lock::new(Places::default()),
        waiting: Lock::new(VecDeque::with_capacity(WAITING_MOST)),
        work: WaitQueue::new(),
        has_grown: AtomicBool::new(false),
        is_closed: AtomicBool::new(false),
        has_complained: AtomicBool::new(false),
    });
    let mut server = Server { blocking: Blocking::new(device), shared: Arc::clone(&shared) };
    server.blocking.reserve().map_err(|_| said(path, What::NoMemory))?;
    let learned = image::learn(&mut server, &hold, 0, hold.size());
    learned.map_err(|error| said(path, error.what))?;
    let serve = move || {
        server.serve();
        ENDING.fetch_sub(1, Ordering::AcqRel);
        ENDED.wake_all();
    };
    thread::spawn("filedisk", serve).map_err(|_| said(path, What::NoMemory))?;
    Ok(Arc::new(FileDisk { shared, hold }))
}

fn said(path: &str, what: What) -> String {
    format!("{}", FileError::new(&format!("file:{path}"), what))
}

/// What the disk and its thread share.
struct Shared {
    path: String,
    device: Arc<dyn BlockDevice>,
    info: BlockInfo,
    /// The thread's share of the right to use the file, while the disk is there.
    hold: Lock<Option<Arc<Hold>>>,
    places: Lock<Places>,
    waiting: Lock<VecDeque<BlockRequest>>,
    work: WaitQueue,
    /// Blocks were added that no flush has covered yet.
    has_grown: AtomicBool,
    is_closed: AtomicBool,
    has_complained: AtomicBool,
}

const fn bytes_of(request: &BlockRequest) -> usize {
    request.sectors as usize * SECTOR
}

/// The disk.
struct FileDisk {
    shared: Arc<Shared>,
    hold: Arc<Hold>,
}

impl FileDisk {
    /// The sector below where a request can be carried out as it is.
    fn direct(&self, request: &BlockRequest) -> Option<u64> {
        self.shared.info.check(request).ok()?;
        match request.op {
            BlockOp::Flush => (!self.shared.has_grown.load(Ordering::Acquire)).then_some(0),
            BlockOp::Discard => None,
            BlockOp::Read | BlockOp::Write => {
                let (offset, len) = (request.sector * SECTOR as u64, bytes_of(request) as u64);
                let places = self.shared.places.lock();
                let place = image::direct(&self.hold, &places, offset, len)?;
                Some(place / SECTOR as u64)
            }
        }
    }
}

impl BlockDevice for FileDisk {
    fn info(&self) -> BlockInfo {
        self.shared.info
    }

    fn buffer(&self, bytes: usize) -> Result<IoBuffer, OutOfMemory> {
        self.shared.device.buffer(bytes)
    }

    fn submit(&self, request: BlockRequest) -> Result<(), BlockRequest> {
        let sector = request.sector;
        if let Some(below) = self.direct(&request) {
            let sent = self.shared.device.submit(BlockRequest { sector: below, ..request });
            return sent.map_err(|refused| BlockRequest { sector, ..refused });
        }
        let mut waiting = self.shared.waiting.lock();
        if waiting.len() >= WAITING_MOST {
            return Err(request);
        }
        waiting.push_back(request);
        Ok(())
    }

    fn kick(&self) {
        self.shared.device.kick();
        let is_work = !self.shared.waiting.lock().is_empty();
        if is_work {
            self.shared.work.wake_all();
        }
    }
}

impl Drop for FileDisk {
    fn drop(&mut self) {
        // No request is left, so nobody needs the file any more.
        let share = self.shared.hold.lock().take();
        drop(share);
        ENDING.fetch_add(1, Ordering::AcqRel);
        self.shared.is_closed.store(true, Ordering::Release);
        self.shared.work.wake_all();
    }
}

/// The thread of a file.
struct Server {
    shared: Arc<Shared>,
    blocking: Blocking,
}

impl World for Server {
    fn disk(&mut self) -> &mut dyn Disk {
        &mut self.blocking
    }

    fn places<T>(&mut self, look: impl FnOnce(&mut Places) -> T) -> T {
        look(&mut self.shared.places.lock())
    }

    fn files<T>(
        &mut self,
        act: impl FnOnce(&mut Files) -> Result<T, FileError>,
    ) -> Result<T, FileError> {
        let done = with(|files| Ok(act(files)));
        done.unwrap_or_else(|_| Err(FileError::new(DISK, What::Io)))
    }
}

impl Server {
    fn serve(mut self) {
        loop {
            let shared = Arc::clone(&self.shared);
            let mut next = None;
            shared.work.wait_until(|| {
                next = shared.waiting.lock().pop_front();
                next.is_some() || shared.is_closed.load(Ordering::Acquire)
            });
            let Some(mut request) = next else { break };
            let verdict = self.carry_out(&mut request);
            let BlockRequest { buffer, done, .. } = request;
            done(verdict, buffer);
            thread::yield_now();
        }
        self.sync_if_grown();
    }

    fn carry_out(&mut self, request: &mut BlockRequest) -> Result<(), BlockError> {
        let shared = Arc::clone(&self.shared);
        shared.info.check(request)?;
        let hold = shared.hold.lock().clone().ok_or(BlockError::Device)?;
        let (offset, len) = (request.sector * SECTOR as u64, bytes_of(request));
        let memory = request.buffer.as_mut().and_then(|buffer| buffer.bytes_mut().get_mut(..len));
        let done = match (request.op, memory) {
            (BlockOp::Read, Some(memory)) => image::read(self, &hold, offset, memory),
            (BlockOp::Write, Some(memory)) => {
                let written = image::write(self, &hold, offset, memory);
                // A write that failed half way may have added blocks, too.
                if !matches!(written, Ok(false)) {
                    shared.has_grown.store(true, Ordering::Release);
                }
                written.map(drop)
            }
            (BlockOp::Flush, _) => match self.sync_if_grown() {
                true => Ok(()),
                false => return Err(BlockError::Device),
            },
            _ => return Err(BlockError::Device),
        };
        done.map_err(|error| self.complain(error.what))
    }

    /// Makes added blocks durable, and everything else with them; whether that worked. Until it is done
    /// no flush goes past it.
    fn sync_if_grown(&mut self) -> bool {
        if !self.shared.has_grown.load(Ordering::Acquire) {
            return self.blocking.flush().is_ok();
        }
        let synced = self.files(Files::sync);
        match &synced {
            Ok(()) => self.shared.has_grown.store(false, Ordering::Release),
            Err(error) => drop(self.complain(error.what)),
        }
        synced.is_ok()
    }

    /// Says the first failure of this disk; a domain could cause more than anybody wants to read.
    fn complain(&self, what: What) -> BlockError {
        if !self.shared.has_complained.swap(true, Ordering::Relaxed) {
            println!("dom0: {}", said(&self.shared.path, what));
        }
        BlockError::Device
    }
}
