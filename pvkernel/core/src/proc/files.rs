//! What a process has open: the console, until there are files.

use pvkernel_abi::Errno;

use crate::os::Os;

/// Descriptors 0 to 2.
pub struct Files(&'static Os);

impl Files {
    pub(super) fn new(os: &'static Os) -> Result<Self, Errno> {
        Ok(Self(os))
    }

    pub(super) fn fork(&self) -> Result<Self, Errno> {
        Ok(Self(self.0))
    }

    pub(super) fn exec(&self) {}

    pub(super) fn close_all(&self) {}

    pub(super) fn count(&self) -> usize {
        3
    }

    /// Writes.
    ///
    /// # Errors
    /// `EBADF`.
    pub fn write(&self, fd: u64, bytes: &[u8]) -> Result<usize, Errno> {
        if fd > 2 {
            return Err(Errno::EBADF);
        }
        self.0.kernel.platform().console.write(bytes);
        Ok(bytes.len())
    }
}
