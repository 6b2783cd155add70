//! The files on the disk of the control domain.
//!
//! A thread mounts the first disk while the shell is already there; whoever wants a file waits for it.
//! One lock, whose holder may wait, is around the file system: requests to the disk take time. Nobody
//! holds the toolstack meanwhile.
//!
//! The disk is left clean at the end of the machine (`end`). When the machine just stops, the journal
//! keeps names and sizes consistent, and the next mount replays it.

mod backing;
mod disk;
mod stage;
mod verbs;

pub use backing::{open_disk, settle};
pub use stage::{for_command, for_restart};
pub use verbs::carry_out;

use crate::devices;
use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use disk::Blocking;
use pvkernel_core::sleep_lock::{SleepGuard, SleepLock};
use pvkernel_core::sync::Lock;
use pvkernel_xen::{println, stats, thread, time};
use zl_files::{FileError, Files, Kind, What};
use zl_toolstack::ToolError;

/// The disk that holds the files.
const DISK: &str = "vda";
/// How often others get their turn while a long piece of work goes on: after this many bytes.
pub const PIECE: usize = 256 << 10;
/// Memory that reading a file into memory leaves for everything else.
const KEPT_BYTES: u64 = 4 << 20;

static FILES: SleepLock<Option<Files>> = SleepLock::new(None);
/// Why there are no files; `None` while it is not known.
static STATE: Lock<State> = Lock::new(State::Starting);
static STATE_CHANGED: thread::WaitQueue = thread::WaitQueue::new();

#[derive(Clone)]
enum State {
    Starting,
    Mounted,
    Without(String),
}

/// Mounts the disk, in a thread of its own.
pub fn start() {
    if thread::spawn("files", || mount_and_say(true)).is_err() {
        set_state(State::Without(String::from("no memory for the thread 'files'")));
    }
}

fn set_state(state: State) {
    *STATE.lock() = state;
    STATE_CHANGED.wake_all();
}

/// Mounts the disk, and says it when it cannot be used although it is there.
fn mount_and_say(at_start: bool) {
    let Some(device) = devices::disk(DISK) else {
        let text = "dom0 has no disk; start the machine with one (cargo xtask run does)";
        return set_state(State::Without(String::from(text)));
    };
    match Files::mount(Box::new(Blocking::new(device)), time::wall_clock().0) {
        Ok(files) => {
            *FILES.lock(thread::kernel()) = Some(files);
            set_state(State::Mounted);
        }
        Err(FileError { what, .. }) => {
            let why = FileError::new(DISK, what);
            if at_start {
                println!("dom0: {why}");
            }
            set_state(State::Without(format!("{why}")));
        }
    }
}

/// The files, once they are mounted.
struct Held(SleepGuard<'static, Option<Files>>);

fn hold() -> Result<Held, ToolError> {
    let mut state = State::Starting;
    STATE_CHANGED.wait_until(|| {
        state = STATE.lock().clone();
        !matches!(state, State::Starting)
    });
    if let State::Without(why) = state {
        return Err(ToolError::failed(why));
    }
    let guard = FILES.lock(thread::kernel());
    match guard.is_some() {
        true => Ok(Held(guard)),
        false => Err(ToolError::failed("the disk is not mounted any more; the machine ends")),
    }
}

/// Does something with the files; may wait for the disk.
///
/// # Errors
/// There are no files, or what `act` says.
pub fn with<T>(act: impl FnOnce(&mut Files) -> Result<T, FileError>) -> Result<T, ToolError> {
    let mut held = hold()?;
    let Some(files) = held.0.as_mut() else {
        return Err(ToolError::failed("the disk is not mounted any more; the machine ends"));
    };
    files.set_time(time::wall_clock().0);
    act(files).map_err(|error| ToolError::failed(format!("{error}")))
}

/// The contents of a file. One that would leave no memory for the rest is refused.
///
/// # Errors
/// It cannot be read, or it is too large for dom0's memory.
pub fn read(path: &str) -> Result<Vec<u8>, ToolError> {
    let stat = with(|files| files.stat(path))?;
    if stat.kind != Kind::File {
        return Err(ToolError::failed(format!("{}", FileError::new(path, What::IsFolder))));
    }
    let room = (stats::free_frames() as u64 * 4096).saturating_sub(KEPT_BYTES);
    if stat.size > room {
        let (size, room) = (stat.size, room >> 20);
        let text = format!(
            "{path}: {size} bytes do not fit into dom0's memory, of which {room} MiB are free; \
             start the machine with a larger dom0_mem="
        );
        return Err(ToolError::failed(text));
    }
    let mut contents = alloc::vec![0; usize::try_from(stat.size).unwrap_or(0)];
    let mut done = 0;
    while let Some(piece) = contents.get_mut(done..).filter(|rest| !rest.is_empty()) {
        let len = piece.len().min(PIECE);
        let part = piece.get_mut(..len).unwrap_or_default();
        match with(|files| files.read(stat.id, done as u64, part))? {
            0 => break,
            count => done += count,
        }
        thread::yield_now();
    }
    contents.truncate(done);
    Ok(contents)
}

/// Whether a disk of the machine holds the files, so that nobody else may write it.
pub fn is_mounted_on(disk: &str) -> bool {
    disk == DISK && matches!(*STATE.lock(), State::Mounted)
}

/// Makes an empty file system on the disk and mounts it.
///
/// # Errors
/// There is no disk, there is a file system and `force` was not said, or the disk failed.
fn format_disk(force: bool) -> Result<(), ToolError> {
    let Some(device) = devices::disk(DISK) else {
        return Err(ToolError::failed("format-disk: dom0 has no disk"));
    };
    let mut guard = FILES.lock(thread::kernel());
    if guard.as_mut().is_some_and(Files::is_any_held) {
        let text = format!("format-disk: {DISK} has files that are disks of domains; detach them");
        return Err(ToolError::refused(text));
    }
    if guard.is_some() && !force {
        let text = format!("format-disk: {DISK} has a file system; -f makes an empty one over it");
        return Err(ToolError::refused(text));
    }
    *guard = None;
    let made = zl_files::format(Box::new(Blocking::new(device)), time::wall_clock().0);
    drop(guard);
    set_state(State::Starting);
    mount_and_say(false);
    made.map_err(|error| ToolError::failed(format!("format-disk: {error}")))
}

/// Leaves the disk clean; nobody uses it afterwards. A disk that fails now has failed for good.
pub fn end() {
    // A machine that ends at once does not wait for a mount that still goes on.
    if !matches!(*STATE.lock(), State::Mounted) {
        return;
    }
    let files = FILES.lock(thread::kernel()).take();
    if let Some(Err(error)) = files.map(|mut files| files.unmount()) {
        println!("dom0: {DISK} could not be left clean: {error}");
    }
}
