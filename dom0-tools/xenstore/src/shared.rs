//! The store behind a lock, as the control domain's own threads call it.
//!
//! A call takes the lock for as long as the core works, which never waits, and calls the sinks of
//! watches after it gave the lock back. [`Shared::with`] is the way of the service that moves bytes.
//!
//! Invariant: no sink is called, and the service is not woken, while the lock is held.

use crate::access::Perms;
use crate::quota::Quota;
use crate::server::{Conn, Server};
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;
use hypercall_abi::Errno;
use pv_xenbus::{path, Perm, Store, Tx, WatchId, WatchSink};
use spin::Mutex;

struct Inner {
    server: Server,
    sinks: BTreeMap<u64, WatchSink>,
}

/// The store of this machine.
pub struct Shared {
    inner: Mutex<Inner>,
    /// Called when a domain may have something to get.
    wake: fn(),
}

impl Shared {
    /// An empty store. `wake` is called, without the lock, after every operation.
    #[must_use]
    pub fn new(quota: Quota, wake: fn()) -> Self {
        let inner = Inner { server: Server::new(quota), sinks: BTreeMap::new() };
        Self { inner: Mutex::new(inner), wake }
    }

    /// Works on the server, then tells the sinks what happened. Does not wake the service.
    pub fn with<T>(&self, work: impl FnOnce(&mut Server) -> T) -> T {
        let mut inner = self.inner.lock();
        let value = work(&mut inner.server);
        let news: Vec<_> = inner.server.take_news();
        let calls: Vec<_> = news
            .into_iter()
            .filter_map(|(watch, path)| Some((inner.sinks.get(&watch.id)?.clone(), watch, path)))
            .collect();
        drop(inner);
        for (sink, watch, path) in calls {
            sink(watch.shown(&path));
        }
        value
    }

    fn call<T>(&self, work: impl FnOnce(&mut Server) -> T) -> T {
        let value = self.with(work);
        (self.wake)();
        value
    }
}

fn absolute(asked: &str) -> Result<String, Errno> {
    path::absolute("/local/domain/0", asked)
}

impl Store for Shared {
    fn read(&self, tx: Tx, path: &str) -> Result<Vec<u8>, Errno> {
        let path = absolute(path)?;
        let value = self.with(|server| server.run(Conn::Local, tx, |session| session.read(&path)));
        value.map(|value| value.to_vec())
    }

    fn list(&self, tx: Tx, path: &str) -> Result<Vec<String>, Errno> {
        let path = absolute(path)?;
        let list = self.with(|server| server.run(Conn::Local, tx, |session| session.list(&path)));
        list.map(|(_, names)| names.iter().map(|name| String::from(&**name)).collect())
    }

    fn write(&self, tx: Tx, path: &str, value: &[u8]) -> Result<(), Errno> {
        let path = absolute(path)?;
        self.call(|server| server.run(Conn::Local, tx, |session| session.write(&path, value)))
    }

    fn mkdir(&self, tx: Tx, path: &str) -> Result<(), Errno> {
        let path = absolute(path)?;
        self.call(|server| server.run(Conn::Local, tx, |session| session.mkdir(&path)))
    }

    fn rm(&self, tx: Tx, path: &str) -> Result<(), Errno> {
        let path = absolute(path)?;
        self.call(|server| server.run(Conn::Local, tx, |session| session.rm(&path)))
    }

    fn perms(&self, tx: Tx, path: &str) -> Result<Vec<Perm>, Errno> {
        let path = absolute(path)?;
        let perms = self.with(|server| server.run(Conn::Local, tx, |session| session.perms(&path)));
        perms.map(|perms| perms.list().to_vec())
    }

    fn set_perms(&self, tx: Tx, path: &str, perms: &[Perm]) -> Result<(), Errno> {
        let perms = Perms::new(perms.to_vec())?;
        if path::is_special(path) {
            return self.with(|server| server.set_special_perms(Conn::Local, path, perms));
        }
        let path = absolute(path)?;
        self.call(|server| server.run(Conn::Local, tx, |session| session.set_perms(&path, perms)))
    }

    fn begin(&self) -> Result<Tx, Errno> {
        self.with(|server| server.begin(Conn::Local))
    }

    fn end(&self, tx: Tx, commit: bool) -> Result<(), Errno> {
        self.call(|server| server.end(Conn::Local, tx, commit))
    }

    fn watch(&self, path: &str, sink: WatchSink) -> Result<WatchId, Errno> {
        let mut inner = self.inner.lock();
        // Each watch has its own token, so the same path can be watched by many.
        let token = inner.server.next_token();
        let id = inner.server.watch(Conn::Local, path, &token)?;
        inner.sinks.insert(id, sink.clone());
        drop(inner);
        sink(path);
        Ok(WatchId(id))
    }

    fn unwatch(&self, watch: WatchId) {
        let mut inner = self.inner.lock();
        inner.server.end_watch(Conn::Local, watch.0);
        let sink = inner.sinks.remove(&watch.0);
        drop(inner);
        // What a sink holds on to may have a destructor that calls the store.
        drop(sink);
    }
}
