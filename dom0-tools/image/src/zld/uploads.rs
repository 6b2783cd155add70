//! Files a person sends along.
//!
//! Those for memory belong to the connection and go with it; a verb that needs one takes a share of
//! it. Those for the disk take their place when all of them has come. A file that stops coming leaves
//! nothing.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;
use pvkernel_xen::stats;
use zl_client::message::Room;
use zl_client::transfer::Incoming;
use zl_toolstack::config::shown;
use zl_toolstack::ToolError;

/// Longest name.
const LONGEST_NAME: usize = 1024;
/// Most files of one connection.
const MOST_FILES: usize = 64;
const PAGE: u64 = 4096;

/// A file in memory.
pub type Contents = Arc<Vec<u8>>;

/// The files of a connection.
#[derive(Default)]
pub struct Uploads {
    files: Vec<(String, Contents)>,
}

impl Uploads {
    fn keep(&mut self, name: String, contents: Contents) {
        self.files.retain(|(known, _)| *known != name);
        self.files.push((name, contents));
    }
}

/// A file that comes.
pub struct Upload {
    name: String,
    incoming: Incoming,
    bytes: Vec<u8>,
}

impl Upload {
    /// A file of this name and length is to come.
    ///
    /// # Errors
    /// There is no room for it, as one line.
    pub fn begin(uploads: &Uploads, name: &str, len: u64, room: Room) -> Result<Self, ToolError> {
        let refused = |what: String| Err(ToolError::failed(format!("{}: {what}", shown(name))));
        if name.is_empty() || name.len() > LONGEST_NAME {
            return refused(format!("a name has 1 to {LONGEST_NAME} bytes"));
        }
        if uploads.files.len() >= MOST_FILES {
            return refused(format!("dom0 takes {MOST_FILES} files at a time; name fewer"));
        }
        if room == Room::Disk {
            return refused("dom0 has no disk to keep it on".to_string());
        }
        // Half of what is free stays free: domains and other people need some, too.
        let most = stats::free_frames() as u64 * PAGE / 2;
        let mut bytes = Vec::new();
        let wanted = usize::try_from(len).ok().filter(|_| len <= most);
        match wanted.map(|len| bytes.try_reserve_exact(len)) {
            Some(Ok(())) => {
                Ok(Self { name: name.to_string(), incoming: Incoming::new(len), bytes })
            }
            _ => refused(format!(
                "{len} bytes do not fit into dom0's memory, {most} do; boot with a larger dom0_mem="
            )),
        }
    }

    /// The first byte that must not be sent yet.
    pub fn up_to(&self) -> u64 {
        self.incoming.up_to()
    }

    /// Bytes came; the answer is the new window, if there is one to tell.
    ///
    /// # Errors
    /// They are more than allowed.
    pub fn add(&mut self, bytes: &[u8]) -> Result<Option<u64>, ToolError> {
        let counted = self.incoming.add(bytes);
        counted.map_err(|error| self.failed(&error))?;
        self.bytes.extend_from_slice(bytes);
        Ok(self.incoming.open())
    }

    /// All of it came.
    ///
    /// # Errors
    /// It did not, or not as it was sent.
    pub fn finish(self, uploads: &mut Uploads, sum: u32) -> Result<(), ToolError> {
        let finished = self.incoming.finish(sum);
        finished.map_err(|error| self.failed(&error))?;
        uploads.keep(self.name, Arc::new(self.bytes));
        Ok(())
    }

    fn failed(&self, error: &dyn core::fmt::Display) -> ToolError {
        ToolError::failed(format!("{}: {error}", shown(&self.name)))
    }
}
