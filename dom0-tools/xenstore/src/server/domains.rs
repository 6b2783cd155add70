//! Domains come and go, and the bytes they send and get.
//!
//! The service calls it with what lies in the rings. A domain sends when it likes; it is heard only
//! while there is room for its answers.

use super::{Broken, Conn, Connection, Effect, Server};
use crate::access::Perms;
use crate::outbox::Outbox;
use alloc::sync::Arc;
use alloc::vec::Vec;
use hypercall_abi::{DomId, Errno, EvtchnPort, Mfn};
use pv_xenbus::path::{self, INTRODUCE_DOMAIN, RELEASE_DOMAIN};
use pv_xenbus::wire::Decoder;

impl Server {
    /// Whether a domain has a connection.
    #[must_use]
    pub fn is_introduced(&self, domain: DomId) -> bool {
        self.domains.contains_key(&domain)
    }

    /// Gives a domain a connection; one that has one starts over with a new ring.
    ///
    /// # Errors
    /// `EINVAL` for what cannot be a guest.
    pub fn introduce(&mut self, domain: DomId, frame: Mfn, port: EvtchnPort) -> Result<(), Errno> {
        if domain == DomId::DOM0 || !domain.is_real() {
            return Err(Errno::EINVAL);
        }
        let is_new = !self.is_introduced(domain);
        self.reset(domain);
        self.domains.entry(domain).or_default().has_ended = false;
        self.effects.push(Effect::Introduce { domain, frame, port });
        if is_new {
            self.fire_special(INTRODUCE_DOMAIN);
        }
        Ok(())
    }

    /// Takes the connection of a domain away, with all it had and all that was only there for it.
    ///
    /// # Errors
    /// `ENOENT` when it has none.
    pub fn release(&mut self, domain: DomId) -> Result<(), Errno> {
        self.reset_conn(Conn::Domain(domain));
        self.domains.remove(&domain).ok_or(Errno::ENOENT)?;
        for connection in self.domains.values_mut() {
            connection.target = connection.target.filter(|target| *target != domain);
        }
        self.effects.push(Effect::Release(domain));
        self.forget_owner(domain);
        self.fire_special(RELEASE_DOMAIN);
        Ok(())
    }

    /// Removes the nodes a domain owns, with all below them, and its entries in the permissions of
    /// others: its number will belong to somebody else. The tools remove what they made for it before, so
    /// mostly there is nothing, and then the nodes of all other domains are not looked at.
    fn forget_owner(&mut self, domain: DomId) {
        if self.tree.usage(domain).is_nothing() {
            return;
        }
        let named: Vec<(Arc<str>, Option<Perms>)> = self
            .tree
            .iter()
            .filter_map(|(path, node)| match node.perms.owner() == domain {
                // The root stays, whoever was given it.
                true if &**path == path::ROOT => Some((path.clone(), Some(Perms::control_only()))),
                true => Some((path.clone(), None)),
                false => node.perms.without(domain).map(|perms| (path.clone(), Some(perms))),
            })
            .collect();
        let forgotten = self.single(Conn::Local, |session| {
            for (path, perms) in named {
                match perms {
                    Some(perms) => session.set_perms(&path, perms),
                    // It may have gone with one above it.
                    None => session.rm(&path),
                }
                .or_else(|errno| {
                    if errno == Errno::ENOENT {
                        Ok(())
                    } else {
                        Err(errno)
                    }
                })?;
            }
            Ok(())
        });
        debug_assert_eq!(forgotten, Ok(()));
        for perms in self.special.values_mut() {
            if let Some(without) = perms.without(domain) {
                *perms = without;
            }
        }
    }

    /// Notes that a domain ended: it is still there, but does not run. Told once.
    pub fn domain_ended(&mut self, domain: DomId) {
        let Some(connection) = self.domains.get_mut(&domain) else { return };
        if !core::mem::replace(&mut connection.has_ended, true) {
            self.fire_special(RELEASE_DOMAIN);
        }
    }

    /// How many bytes of a domain may be taken in now. Zero while a request waits.
    #[must_use]
    pub fn wanted(&self, domain: DomId) -> usize {
        match self.domains.get(&domain) {
            Some(Connection { request: None, decoder, .. }) => decoder.wanted(),
            _ => 0,
        }
    }

    /// Takes bytes in, at most as many as [`Server::wanted`] says; returns how many were taken.
    ///
    /// # Errors
    /// The bytes make no sense: the connection is to be ended.
    pub fn receive(&mut self, domain: DomId, bytes: &[u8]) -> Result<usize, Broken> {
        let Some(connection) = self.domains.get_mut(&domain) else { return Ok(0) };
        if connection.request.is_some() {
            return Ok(0);
        }
        let (taken, request) = connection.decoder.feed(bytes).map_err(Broken)?;
        connection.request = request;
        Ok(taken)
    }

    /// Executes the waiting request of a domain, if it has room for the answer. Returns whether
    /// it did.
    pub fn step(&mut self, domain: DomId) -> bool {
        let most = self.quota.answers;
        let Some(connection) = self.domains.get_mut(&domain) else { return false };
        if connection.outbox.answers() >= most {
            return false;
        }
        let Some(request) = connection.request.take() else { return false };
        self.execute(domain, &request);
        true
    }

    /// Whether a domain could go on: a request that has room for its answer.
    #[must_use]
    pub fn is_ready(&self, domain: DomId) -> bool {
        self.domains.get(&domain).is_some_and(|connection| {
            connection.request.is_some() && connection.outbox.answers() < self.quota.answers
        })
    }

    /// The bytes a domain has to get next.
    pub fn pending(&mut self, domain: DomId) -> &[u8] {
        match self.domains.get_mut(&domain) {
            Some(connection) => connection.outbox.pending(),
            None => &[],
        }
    }

    /// Whether something waits for a domain.
    #[must_use]
    pub fn has_pending(&self, domain: DomId) -> bool {
        self.domains.get(&domain).is_some_and(|connection| !connection.outbox.is_empty())
    }

    /// Notes that bytes reached a domain.
    pub fn sent(&mut self, domain: DomId, count: usize) {
        if let Some(connection) = self.domains.get_mut(&domain) {
            connection.outbox.sent(count);
        }
    }

    /// Starts the connection of a domain over: no watches, no transactions, nothing half-read.
    pub fn reset(&mut self, domain: DomId) {
        self.reset_conn(Conn::Domain(domain));
        if let Some(connection) = self.domains.get_mut(&domain) {
            connection.decoder = Decoder::new();
            connection.request = None;
            connection.outbox = Outbox::default();
        }
    }
}
