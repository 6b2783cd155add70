//! The whole store: tree, connections, watches, transactions.
//!
//! The service of the control domain feeds it the bytes each domain wrote and sends what it wants to
//! say; the control domain's own threads call it through `shared`. Nothing here waits. What the service
//! has to do is returned as data: [`Effect`].
//!
//! Invariant: a domain has a connection between `introduce` and `release`, and watches and
//! transactions only while it has one; at most one request of it waits for being executed.

mod domains;
mod watching;

use crate::access::{Perms, Who};
use crate::outbox::Outbox;
use crate::quota::Quota;
use crate::session::Session;
use crate::transaction::{commit, Room, Transaction};
use crate::tree::Tree;
use crate::watch::{Watch, Watches};
use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;
use hypercall_abi::{DomId, Errno, EvtchnPort, Mfn};
use pv_xenbus::wire::{Decoder, Message, TooLong, PAYLOAD_MAX};
use pv_xenbus::Tx;

/// Longest token of a watch: an event with the longest path still fits a message.
pub const TOKEN_MAX: usize = PAYLOAD_MAX - hypercall_abi::io::xs_wire::ABS_PATH_MAX - 2;

/// Somebody who is connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Conn {
    /// The control domain's own threads.
    Local,
    /// A domain with a ring.
    Domain(DomId),
}

/// What the service has to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Map the ring of a domain and bind its port; do it anew if that was done before.
    Introduce {
        /// The domain.
        domain: DomId,
        /// Its ring.
        frame: Mfn,
        /// Its port.
        port: EvtchnPort,
    },
    /// Unmap the ring of a domain and close the port.
    Release(DomId),
}

/// The stream of a domain makes no sense any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Broken(pub TooLong);

/// A domain with a ring.
#[derive(Debug, Default)]
pub(crate) struct Connection {
    decoder: Decoder,
    request: Option<Message>,
    pub(crate) outbox: Outbox,
    pub(crate) watches: Vec<Arc<Watch>>,
    pub(crate) target: Option<DomId>,
    /// Its shutdown was told already.
    pub(crate) has_ended: bool,
}

#[derive(Debug)]
struct Open {
    owner: Conn,
    transaction: Transaction,
}

/// The store.
#[derive(Debug, Default)]
pub struct Server {
    pub(crate) tree: Tree,
    pub(crate) quota: Quota,
    pub(crate) domains: BTreeMap<DomId, Connection>,
    watches: Watches,
    open: BTreeMap<Tx, Open>,
    special: BTreeMap<Arc<str>, Perms>,
    next_tx: u32,
    next_watch: u64,
    local_watches: Vec<Arc<Watch>>,
    news: Vec<(Arc<Watch>, Arc<str>)>,
    effects: Vec<Effect>,
    /// Something was put into an outbox.
    has_told: bool,
}

impl Server {
    /// An empty store.
    #[must_use]
    pub fn new(quota: Quota) -> Self {
        Self { quota, ..Self::default() }
    }

    /// The tree, for looking at.
    #[must_use]
    pub fn tree(&self) -> &Tree {
        &self.tree
    }

    /// What the service has to do since the last call.
    #[must_use]
    pub fn take_effects(&mut self) -> Vec<Effect> {
        core::mem::take(&mut self.effects)
    }

    /// Events for watches of the control domain since the last call.
    #[must_use]
    pub fn take_news(&mut self) -> Vec<(Arc<Watch>, Arc<str>)> {
        core::mem::take(&mut self.news)
    }

    /// Whether some domain was told something since the last call.
    #[must_use]
    pub fn take_told(&mut self) -> bool {
        core::mem::take(&mut self.has_told)
    }

    /// Who somebody is.
    #[must_use]
    pub fn who(&self, conn: Conn) -> Who {
        match conn {
            Conn::Local => Who::CONTROL,
            Conn::Domain(domain) => Who {
                domain,
                target: self.domains.get(&domain).and_then(|connection| connection.target),
                is_privileged: false,
            },
        }
    }

    /// Runs an operation, in a transaction of the caller or in one of its own.
    ///
    /// # Errors
    /// What the operation says; `ENOENT` for a transaction that is not the caller's.
    pub fn run<T>(
        &mut self,
        conn: Conn,
        tx: Tx,
        operation: impl FnOnce(&mut Session) -> Result<T, Errno>,
    ) -> Result<T, Errno> {
        if tx == Tx::NONE {
            return self.single(conn, operation);
        }
        let who = self.who(conn);
        let held = self.transaction_bytes(conn);
        let open = self.open.get_mut(&tx).filter(|open| open.owner == conn);
        let transaction = &mut open.ok_or(Errno::ENOENT)?.transaction;
        let room = match who.is_privileged {
            true => Room::UNBOUNDED,
            false => Room {
                nodes: self.quota.transaction_nodes,
                bytes: (self.quota.transaction_bytes + transaction.bytes()).saturating_sub(held),
            },
        };
        let (tree, quota) = (&self.tree, &self.quota);
        operation(&mut Session { tree, transaction, who, quota, room })
    }

    fn single<T>(
        &mut self,
        conn: Conn,
        operation: impl FnOnce(&mut Session) -> Result<T, Errno>,
    ) -> Result<T, Errno> {
        let who = self.who(conn);
        let room = match who.is_privileged {
            true => Room::UNBOUNDED,
            false => {
                Room { nodes: self.quota.transaction_nodes, bytes: self.quota.transaction_bytes }
            }
        };
        let mut transaction = Transaction::new();
        let (tree, quota) = (&self.tree, &self.quota);
        let value =
            operation(&mut Session { tree, transaction: &mut transaction, who, quota, room })?;
        self.commit(&who, transaction)?;
        Ok(value)
    }

    fn commit(&mut self, who: &Who, transaction: Transaction) -> Result<(), Errno> {
        let happened = commit(&mut self.tree, transaction, who, &self.quota)?;
        for happened in &happened {
            self.fire(happened);
        }
        Ok(())
    }

    /// Bytes all transactions of somebody hold.
    #[must_use]
    pub fn transaction_bytes(&self, conn: Conn) -> usize {
        let own = self.open.values().filter(|open| open.owner == conn);
        own.map(|open| open.transaction.bytes()).sum()
    }

    /// Open transactions of somebody.
    #[must_use]
    pub fn transactions(&self, conn: Conn) -> usize {
        self.open.values().filter(|open| open.owner == conn).count()
    }

    /// Begins a transaction.
    ///
    /// # Errors
    /// `ENOSPC` when too many are open.
    pub fn begin(&mut self, conn: Conn) -> Result<Tx, Errno> {
        if conn != Conn::Local && self.transactions(conn) >= self.quota.transactions {
            return Err(Errno::ENOSPC);
        }
        loop {
            self.next_tx = self.next_tx.wrapping_add(1);
            let tx = Tx(self.next_tx);
            if tx != Tx::NONE && !self.open.contains_key(&tx) {
                self.open.insert(tx, Open { owner: conn, transaction: Transaction::new() });
                return Ok(tx);
            }
        }
    }

    /// Ends a transaction.
    ///
    /// # Errors
    /// `ENOENT` when the caller has no such one, `EAGAIN` and `ENOSPC` when it cannot be committed.
    pub fn end(&mut self, conn: Conn, tx: Tx, commits: bool) -> Result<(), Errno> {
        if self.open.get(&tx).is_none_or(|open| open.owner != conn) {
            return Err(Errno::ENOENT);
        }
        let open = self.open.remove(&tx).ok_or(Errno::ENOENT)?;
        match commits {
            true => self.commit(&self.who(conn), open.transaction),
            false => Ok(()),
        }
    }
}
