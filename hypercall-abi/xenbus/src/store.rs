//! The operations on the store.

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use hypercall_abi::{DomId, Errno};

/// A transaction, or [`Tx::NONE`] for single operations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Tx(pub u32);

impl Tx {
    /// No transaction.
    pub const NONE: Self = Self(0);
}

/// What a domain may do with a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rights {
    /// `n`
    None,
    /// `r`
    Read,
    /// `w`
    Write,
    /// `b`
    Both,
}

/// One entry of a node's permissions. The first of a list names the owner and what everybody not
/// named further on may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Perm {
    /// The domain.
    pub domain: DomId,
    /// Its rights; of the first entry, everybody else's.
    pub rights: Rights,
}

/// Names a watch for its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct WatchId(pub u64);

/// Called with the path that changed, once at the beginning and then after every change at or below the
/// watched path. It must not wait and must not call the store: it notes the news and wakes a thread.
pub type WatchSink = Arc<dyn Fn(&str) + Send + Sync>;

/// The store. Every call may wait, so no spinning lock may be held; paths are absolute, or relative to
/// the home of the domain that asks.
pub trait Store: Send + Sync {
    /// The value of a node.
    ///
    /// # Errors
    /// `ENOENT`, `EACCES`.
    fn read(&self, tx: Tx, path: &str) -> Result<Vec<u8>, Errno>;

    /// The names of a node's children.
    ///
    /// # Errors
    /// `ENOENT`, `EACCES`.
    fn list(&self, tx: Tx, path: &str) -> Result<Vec<String>, Errno>;

    /// Sets a value; makes the node and its parents if need be.
    ///
    /// # Errors
    /// `EACCES`, `ENOSPC` (quota), `EINVAL`.
    fn write(&self, tx: Tx, path: &str, value: &[u8]) -> Result<(), Errno>;

    /// Makes a node without value; one that exists stays.
    ///
    /// # Errors
    /// As [`Store::write`].
    fn mkdir(&self, tx: Tx, path: &str) -> Result<(), Errno>;

    /// Removes a node and everything below it; one that does not exist is as wanted.
    ///
    /// # Errors
    /// `EACCES`, `EINVAL` for the root, `ENOENT` without parent.
    fn rm(&self, tx: Tx, path: &str) -> Result<(), Errno>;

    /// Who may do what with a node.
    ///
    /// # Errors
    /// `ENOENT`, `EACCES`.
    fn perms(&self, tx: Tx, path: &str) -> Result<Vec<Perm>, Errno>;

    /// Sets who may do what with a node.
    ///
    /// # Errors
    /// `EACCES`, `EINVAL`, `ENOENT`.
    fn set_perms(&self, tx: Tx, path: &str, perms: &[Perm]) -> Result<(), Errno>;

    /// Begins a transaction.
    ///
    /// # Errors
    /// `ENOSPC` beyond the quota.
    fn begin(&self) -> Result<Tx, Errno>;

    /// Ends a transaction.
    ///
    /// # Errors
    /// `EAGAIN` when somebody changed what it read or wrote: nothing was changed then.
    fn end(&self, tx: Tx, commit: bool) -> Result<(), Errno>;

    /// Watches a path.
    ///
    /// # Errors
    /// `E2BIG` beyond the quota, `EINVAL`.
    fn watch(&self, path: &str, sink: WatchSink) -> Result<WatchId, Errno>;

    /// Ends a watch; one that ended already stays ended.
    fn unwatch(&self, watch: WatchId);

    /// A node's value as text.
    ///
    /// # Errors
    /// As [`Store::read`]; `EINVAL` when it is no text.
    fn text(&self, tx: Tx, path: &str) -> Result<String, Errno> {
        String::from_utf8(self.read(tx, path)?).map_err(|_| Errno::EINVAL)
    }

    /// A node's value as a decimal number.
    ///
    /// # Errors
    /// As [`Store::read`]; `EINVAL` when it is no number.
    fn number(&self, tx: Tx, path: &str) -> Result<u64, Errno> {
        self.text(tx, path)?.trim().parse().map_err(|_| Errno::EINVAL)
    }
}

/// How often a transaction is tried while others interfere.
const TRIES: u32 = 64;

/// Runs `body` in a transaction, again while others change the same nodes.
///
/// # Errors
/// What `body` says, after the transaction was given up; `EAGAIN` after many tries.
pub fn retry<T>(
    store: &dyn Store,
    mut body: impl FnMut(Tx) -> Result<T, Errno>,
) -> Result<T, Errno> {
    for _ in 0..TRIES {
        let tx = store.begin()?;
        match body(tx) {
            Err(errno) => {
                // Nothing of it happened, whatever the end says.
                let _ = store.end(tx, false);
                // This one: the connection was lost, and the transaction with it.
                if errno != Errno::EAGAIN {
                    return Err(errno);
                }
            }
            Ok(value) => match store.end(tx, true) {
                Ok(()) => return Ok(value),
                Err(Errno::EAGAIN) => {}
                Err(errno) => return Err(errno),
            },
        }
    }
    Err(Errno::EAGAIN)
}
