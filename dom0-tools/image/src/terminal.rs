//! Where a person is: the console of the control domain, or a session of `zl` on the host.
//!
//! `steps` and `attach` carry verbs out for either. Whatever a terminal may have news of (a key, a
//! lost connection) wakes `screen::CHANGED`, on which everybody waits.
//!
//! `write` may wait for the other end to read, so nobody holds the toolstack while writing.

use zl_cli::Stream;

/// One person's end.
pub trait Terminal {
    /// Shows bytes.
    fn write(&self, to: Stream, bytes: &[u8]);

    /// The next typed byte.
    fn take_key(&self) -> Option<u8>;

    /// Whether there is a byte to take.
    fn has_key(&self) -> bool;

    /// Whether ^C was typed; everything before it is forgotten then. A terminal whose person is gone
    /// says yes for ever.
    fn take_interrupt(&self) -> bool;

    /// Whether the person is gone, so that nothing that is written is seen.
    fn is_gone(&self) -> bool;

    /// Shows text.
    fn print(&self, text: &str) {
        self.write(Stream::Out, text.as_bytes());
    }

    /// Shows a complaint.
    fn complain(&self, text: &str) {
        self.write(Stream::Err, text.as_bytes());
    }
}
