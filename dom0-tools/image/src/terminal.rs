//! Where a person is: the console of the control domain, or a session of `zl` on the host.
//!
//! `steps` and `attach` carry verbs out for either. Whatever a terminal may have news of (a key, a
//! lost connection) wakes `screen::CHANGED`, on which everybody waits.
//!
//! `write` may wait for the other end to read, so nobody holds the toolstack while writing.

use alloc::string::String;
use alloc::vec::Vec;
use zl_cli::top::Size;
use zl_cli::{report, Stream};
use zl_toolstack::staged::Contents;

/// What a person typed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key {
    /// A byte.
    Byte(u8),
    /// The other end of the line says that the console is to be left.
    Leave,
}

/// One person's end.
pub trait Terminal {
    /// Shows bytes.
    fn write(&self, to: Stream, bytes: &[u8]);

    /// The next key.
    fn take_key(&self) -> Option<Key>;

    /// Whether there is a key to take.
    fn has_key(&self) -> bool;

    /// Whether ^C was typed; everything before it is forgotten then. A terminal whose person is gone
    /// says yes for ever.
    fn take_interrupt(&self) -> bool;

    /// Whether the person is gone, so that nothing that is written is seen.
    fn is_gone(&self) -> bool;

    /// From now on each key is wanted as it is typed; `leave` is the one that leaves, if any does.
    fn wants_keys(&self, leave: Option<u8>);

    /// Keys mean what they usually mean again.
    fn wants_lines(&self);

    /// Files that came with the command.
    fn sent(&self) -> Vec<(String, Contents)> {
        Vec::new()
    }

    /// How large it is.
    fn size(&self) -> Size {
        Size { columns: 80, rows: 24 }
    }

    /// Shows a document of its own, which is a line already.
    fn document(&self, text: &str) {
        self.print(text);
    }

    /// Shows text.
    fn print(&self, text: &str) {
        self.write(Stream::Out, text.as_bytes());
    }

    /// Shows a complaint.
    fn complain(&self, text: &str) {
        self.write(Stream::Err, text.as_bytes());
    }

    /// Shows something about the line itself, which is not part of what is shown.
    fn note(&self, text: &str) {
        self.complain(text);
    }
}

/// A terminal for scripts: what comes becomes one document per line.
pub struct Events<'t>(pub &'t dyn Terminal);

impl Terminal for Events<'_> {
    fn write(&self, to: Stream, bytes: &[u8]) {
        if to == Stream::Out {
            self.0.print(&report::event(bytes));
        }
    }

    fn document(&self, text: &str) {
        self.0.print(text);
    }

    fn take_key(&self) -> Option<Key> {
        self.0.take_key()
    }

    fn has_key(&self) -> bool {
        self.0.has_key()
    }

    fn take_interrupt(&self) -> bool {
        self.0.take_interrupt()
    }

    fn is_gone(&self) -> bool {
        self.0.is_gone()
    }

    fn wants_keys(&self, leave: Option<u8>) {
        self.0.wants_keys(leave);
    }

    fn wants_lines(&self) {
        self.0.wants_lines();
    }
}
