//! Files a person sends along.
//!
//! Those for memory belong to the connection and go with it; a domain that is made of one takes a
//! share. Those for the disk get their name when all of them has come; until then they have another
//! one, and a file that stops coming leaves nothing.
//!
//! Whoever calls here may wait for the disk, so nobody holds a lock meanwhile.

use crate::files;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU64, Ordering};
use pvkernel_xen::stats;
use zl_client::message::Room;
use zl_client::transfer::Incoming;
use zl_files::FileId;
use zl_toolstack::config::shown;
use zl_toolstack::staged::Contents;
use zl_toolstack::ToolError;

/// Longest name.
const LONGEST_NAME: usize = 1024;
/// Most files of one connection.
const MOST_FILES: usize = 64;
const PAGE: u64 = 4096;

/// Numbers files that still come, so that two of one name do not meet.
static PARTS: AtomicU64 = AtomicU64::new(0);

/// The files of a connection.
#[derive(Default)]
pub struct Uploads {
    in_memory: Vec<(String, Contents)>,
    on_disk: Vec<String>,
}

impl Uploads {
    /// Those in memory.
    pub fn in_memory(&self) -> Vec<(String, Contents)> {
        self.in_memory.clone()
    }

    /// The paths of those on the disk, which this forgets.
    pub fn take_on_disk(&mut self) -> Vec<String> {
        core::mem::take(&mut self.on_disk)
    }

    /// Whether no more may come.
    pub fn is_full(&self) -> bool {
        self.in_memory.len() + self.on_disk.len() >= MOST_FILES
    }

    /// Keeps what came.
    pub fn keep(&mut self, stored: Stored) {
        match stored {
            Stored::InMemory(name, contents) => {
                self.in_memory.retain(|(known, _)| *known != name);
                self.in_memory.push((name, contents));
            }
            Stored::OnDisk(path) => self.on_disk.push(path),
        }
    }
}

/// A file that came.
pub enum Stored {
    /// Under this name.
    InMemory(String, Contents),
    /// At this path.
    OnDisk(String),
}

/// A file that comes.
pub struct Upload {
    name: String,
    incoming: Incoming,
    sink: Sink,
}

enum Sink {
    Memory(Vec<u8>),
    Disk(Part),
}

impl Upload {
    /// A file of this name and length is to come.
    ///
    /// # Errors
    /// There is no room for it, as one line.
    pub fn begin(name: &str, len: u64, room: Room) -> Result<Self, ToolError> {
        if name.is_empty() || name.len() > LONGEST_NAME {
            let text = format!("'{}': a name has 1 to {LONGEST_NAME} bytes", shown(name));
            return Err(ToolError::failed(text));
        }
        let sink = match room {
            Room::Memory => Sink::Memory(memory(name, len)?),
            Room::Disk => Sink::Disk(Part::begin(name, len)?),
        };
        Ok(Self { name: name.to_string(), incoming: Incoming::new(len), sink })
    }

    /// The first byte that must not be sent yet.
    pub fn up_to(&self) -> u64 {
        self.incoming.up_to()
    }

    /// Bytes came; the answer is the new window, if there is one to tell.
    ///
    /// # Errors
    /// They are more than allowed, or the disk is full.
    pub fn add(&mut self, bytes: &[u8]) -> Result<Option<u64>, ToolError> {
        let place = self.incoming.came();
        let counted = self.incoming.add(bytes);
        counted.map_err(|error| self.failed(&error))?;
        match &mut self.sink {
            Sink::Memory(kept) => kept.extend_from_slice(bytes),
            Sink::Disk(part) => part.write(place, bytes)?,
        }
        Ok(self.incoming.open())
    }

    /// All of it came.
    ///
    /// # Errors
    /// It did not, or not as it was sent, or the disk failed.
    pub fn finish(self, sum: u32) -> Result<Stored, ToolError> {
        let finished = self.incoming.finish(sum);
        finished.map_err(|error| self.failed(&error))?;
        match self.sink {
            Sink::Memory(bytes) => Ok(Stored::InMemory(self.name, Arc::new(bytes))),
            Sink::Disk(part) => part.take_place().map(Stored::OnDisk),
        }
    }

    fn failed(&self, error: &dyn core::fmt::Display) -> ToolError {
        ToolError::failed(format!("{}: {error}", shown(&self.name)))
    }
}

/// Memory for a whole file. Half of what is free stays free, for domains and other people.
fn memory(name: &str, len: u64) -> Result<Vec<u8>, ToolError> {
    let most = stats::free_frames() as u64 * PAGE / 2;
    let mut bytes = Vec::new();
    let wanted = usize::try_from(len).ok().filter(|_| len <= most);
    match wanted.map(|len| bytes.try_reserve_exact(len)) {
        Some(Ok(())) => Ok(bytes),
        _ => Err(ToolError::failed(format!(
            "{}: {len} bytes do not fit into dom0's memory, {most} do; boot with a larger dom0_mem=",
            shown(name)
        ))),
    }
}

/// A file on the disk that is not whole yet. It goes unless it takes its place.
struct Part {
    path: String,
    part: String,
    file: FileId,
    is_whole: bool,
}

impl Part {
    fn begin(path: &str, len: u64) -> Result<Self, ToolError> {
        let free = files::with(|files| Ok(files.space().free))?;
        if len > free {
            let text =
                format!("{}: disk full: {len} bytes are needed, {free} are free", shown(path));
            return Err(ToolError::failed(text + "; see 'zl dom0 df'"));
        }
        make_folders(path)?;
        let number = PARTS.fetch_add(1, Ordering::Relaxed);
        let part = format!("{path}.part-{number}");
        // One that an earlier boot left is in nobody's use.
        let _ = files::with(|files| files.remove(&part));
        let file = files::with(|files| files.create(&part))?;
        Ok(Self { path: path.to_string(), part, file, is_whole: false })
    }

    fn write(&mut self, place: u64, bytes: &[u8]) -> Result<(), ToolError> {
        files::with(|files| files.write(self.file, place, bytes))
    }

    /// Replaces what has the path; the answer is the path.
    fn take_place(mut self) -> Result<String, ToolError> {
        files::with(|files| {
            if files.stat(&self.path).is_ok() {
                files.remove(&self.path)?;
            }
            files.rename(&self.part, &self.path)?;
            files.sync()
        })?;
        self.is_whole = true;
        Ok(core::mem::take(&mut self.path))
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        if !self.is_whole {
            // A disk that fails now keeps a file nobody wants; there is no more to do about it.
            let _ = files::with(|files| files.remove(&self.part));
        }
    }
}

/// Makes the folders above a path that are not there.
fn make_folders(path: &str) -> Result<(), ToolError> {
    let ends = path.match_indices('/').map(|(at, _)| at).filter(|at| *at > 0);
    for folder in ends.filter_map(|end| path.get(..end)) {
        files::with(|files| match files.stat(folder) {
            Ok(_) => Ok(()),
            Err(_) => files.make_folder(folder),
        })?;
    }
    Ok(())
}
