//! `/dev/keys`: what is typed, key by key, for who edits lines himself.
//!
//! While it is open nothing is shown, and no key but ^C means anything. There is no mode that somebody must
//! remember to leave: it ends when the file is closed, as it is when its process ends, however it does.

use alloc::sync::Arc;
use pvkernel_abi::{Errno, Stat};

use super::file::{File, GiveUp};
use super::tty::Tty;

/// The name in `/dev`.
pub struct Keys(Arc<Tty>);

/// An open one.
struct Open(Arc<Tty>);

impl Keys {
    /// The keys of a console.
    #[must_use]
    pub const fn new(tty: Arc<Tty>) -> Self {
        Self(tty)
    }
}

impl File for Keys {
    fn read(&self, _: u64, _: &mut [u8], _: GiveUp<'_>) -> Result<usize, Errno> {
        Err(Errno::EBADF)
    }

    fn write(&self, _: u64, _: &[u8], _: GiveUp<'_>) -> Result<usize, Errno> {
        Err(Errno::EBADF)
    }

    fn stat(&self) -> Stat {
        self.0.stat()
    }

    fn opened(&self) -> Option<Arc<dyn File>> {
        self.0.begin_keys();
        Some(Arc::new(Open(Arc::clone(&self.0))))
    }
}

impl File for Open {
    fn read(&self, _: u64, to: &mut [u8], give_up: GiveUp<'_>) -> Result<usize, Errno> {
        self.0.read_keys(to, give_up)
    }

    fn write(&self, _: u64, from: &[u8], give_up: GiveUp<'_>) -> Result<usize, Errno> {
        self.0.write(0, from, give_up)
    }

    fn stat(&self) -> Stat {
        self.0.stat()
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.end_keys();
    }
}
