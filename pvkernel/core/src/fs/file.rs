//! Files that are no part of a file system: devices, ends of pipes, connections.

use alloc::sync::Arc;

use pvkernel_abi::{Errno, Stat};

use super::devfs::BlockNode;

/// Says whether the caller wants to wait no longer, because its process was killed. Whoever kills wakes
/// the thread, so that it asks.
pub type GiveUp<'a> = &'a dyn Fn() -> bool;

/// Something that bytes are read from and written to.
pub trait File: Send + Sync {
    /// Reads at least a byte, waiting for it; 0 is the end. Files without positions ignore `at`.
    ///
    /// # Errors
    /// What the device says; `EAGAIN` to who gave up.
    fn read(&self, at: u64, to: &mut [u8], give_up: GiveUp<'_>) -> Result<usize, Errno>;

    /// Writes at least a byte, waiting for room. Files without positions ignore `at`.
    ///
    /// # Errors
    /// What the device says; `EAGAIN` to who gave up.
    fn write(&self, at: u64, from: &[u8], give_up: GiveUp<'_>) -> Result<usize, Errno>;

    /// About it.
    fn stat(&self) -> Stat;

    /// Its bytes; `None` for a file without positions.
    fn size(&self) -> Option<u64> {
        None
    }

    /// Whether reading from it never waits for somebody, as it does with pipes and consoles.
    fn never_waits(&self) -> bool {
        self.size().is_some()
    }

    /// Makes what was written durable.
    ///
    /// # Errors
    /// The device failed.
    fn sync(&self) -> Result<(), Errno> {
        Ok(())
    }

    /// Waits for a connection, if this is where some arrive.
    ///
    /// # Errors
    /// `EINVAL` if it is not, `ETIMEDOUT`.
    fn accept(&self, _timeout_ns: u64, _give_up: GiveUp<'_>) -> Result<Arc<dyn File>, Errno> {
        Err(Errno::EINVAL)
    }

    /// What opening it gives, if that is a file of its own.
    fn opened(&self) -> Option<Arc<dyn File>> {
        None
    }

    /// The disk behind it, if it is one.
    fn disk(&self) -> Option<&BlockNode> {
        None
    }
}
