//! The store behind a lock, as the control domain's own threads call it.
//!
//! A call takes the lock for as long as the core works, which never waits, and calls the sinks of
//! watches after it gave the lock back. [`Shared::with`] is the way of the service that moves bytes.
//!
//! Invariant: no sink is called, and the service is not woken, while the lock is held.

use crate::access::Perms;
use crate::quota::Quota;
use crate::server::{Conn, Effect, Server};
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;
use hypercall_abi::{DomId, Errno, EvtchnPort, Mfn};
use pv_xenbus::{path, Perm, Registry, Store, Tx, WatchId, WatchSink};
use spin::Mutex;

struct Inner {
    server: Server,
    sinks: BTreeMap<u64, WatchSink>,
}

/// What the service does for the store; called without the lock.
#[derive(Clone, Copy, Debug)]
pub struct Hooks {
    /// A domain may have something to get.
    pub wake: fn(),
    /// A ring is to be mapped or unmapped.
    pub effect: fn(Effect) -> Result<(), Errno>,
}

impl Hooks {
    /// No service: no domain is ever heard.
    pub const NONE: Self = Self { wake: || {}, effect: |_| Ok(()) };
}

/// The store of this machine.
pub struct Shared {
    inner: Mutex<Inner>,
    hooks: Hooks,
}

impl Shared {
    /// An empty store.
    #[must_use]
    pub fn new(quota: Quota, hooks: Hooks) -> Self {
        let inner = Inner { server: Server::new(quota), sinks: BTreeMap::new() };
        Self { inner: Mutex::new(inner), hooks }
    }

    /// Works on the server, then tells the sinks what happened, and wakes the service when a domain
    /// has to be told something.
    pub fn with<T>(&self, work: impl FnOnce(&mut Server) -> T) -> T {
        let mut inner = self.inner.lock();
        let value = work(&mut inner.server);
        let news: Vec<_> = inner.server.take_news();
        let calls: Vec<_> = news
            .into_iter()
            .filter_map(|(watch, path)| Some((inner.sinks.get(&watch.id)?.clone(), watch, path)))
            .collect();
        let has_told = inner.server.take_told();
        drop(inner);
        for (sink, watch, path) in calls {
            sink(watch.shown(&path));
        }
        if has_told {
            (self.hooks.wake)();
        }
        value
    }

    /// Lets the service do what the server decided; the first failure counts.
    fn carry_out(&self) -> Result<(), Errno> {
        let effects = self.with(Server::take_effects);
        let mut first = Ok(());
        for effect in effects {
            first = first.and((self.hooks.effect)(effect));
        }
        first
    }
}

impl Registry for Shared {
    fn introduce(&self, domain: DomId, frame: Mfn, port: EvtchnPort) -> Result<(), Errno> {
        self.with(|server| server.introduce(domain, frame, port))?;
        self.carry_out().inspect_err(|_| self.release(domain))?;
        (self.hooks.wake)();
        Ok(())
    }

    fn release(&self, domain: DomId) {
        // Not introduced is as wanted, and unmapping does not fail.
        let _ = self.with(|server| server.release(domain));
        let _ = self.carry_out();
    }

    fn domain_ended(&self, domain: DomId) {
        self.with(|server| server.domain_ended(domain));
    }

    fn is_watched_by(&self, domain: DomId, path: &str) -> bool {
        self.with(|server| {
            let own = server.watches_of(Conn::Domain(domain));
            own.iter().any(|watch| path::is_at_or_below(path, &watch.path))
        })
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
        self.with(|server| server.run(Conn::Local, tx, |session| session.write(&path, value)))
    }

    fn mkdir(&self, tx: Tx, path: &str) -> Result<(), Errno> {
        let path = absolute(path)?;
        self.with(|server| server.run(Conn::Local, tx, |session| session.mkdir(&path)))
    }

    fn rm(&self, tx: Tx, path: &str) -> Result<(), Errno> {
        let path = absolute(path)?;
        self.with(|server| server.run(Conn::Local, tx, |session| session.rm(&path)))
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
        self.with(|server| server.run(Conn::Local, tx, |session| session.set_perms(&path, perms)))
    }

    fn begin(&self) -> Result<Tx, Errno> {
        self.with(|server| server.begin(Conn::Local))
    }

    fn end(&self, tx: Tx, commit: bool) -> Result<(), Errno> {
        self.with(|server| server.end(Conn::Local, tx, commit))
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
