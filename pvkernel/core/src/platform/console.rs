//! Characters in and out.

/// The console of this kernel.
pub trait Console: Sync {
    /// Writes all bytes, waiting for room if it must.
    fn write(&self, bytes: &[u8]);

    /// The next byte typed, if there is one.
    fn read_byte(&self) -> Option<u8>;
}
