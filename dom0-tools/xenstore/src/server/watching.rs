//! Setting watches, and telling watchers.

use super::{Conn, Server, TOKEN_MAX};
use crate::access::{Need, Perms};
use crate::transaction::Happened;
use crate::watch::Watch;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use hypercall_abi::{DomId, Errno};
use pv_xenbus::path::{self, INTRODUCE_DOMAIN, RELEASE_DOMAIN};

impl Server {
    /// Watches a path, and gives the first event at once.
    ///
    /// # Errors
    /// `EINVAL` for a path or token that cannot be, `EEXIST` for the same watch again, `E2BIG` for
    /// too many.
    pub fn watch(&mut self, conn: Conn, path: &str, token: &[u8]) -> Result<u64, Errno> {
        let (at, relative_to) = self.watched_path(conn, path)?;
        if token.len() > TOKEN_MAX {
            return Err(Errno::EINVAL);
        }
        let own = self.watches_of(conn);
        if own.iter().any(|watch| is_same(watch, &at, relative_to.is_some(), token)) {
            return Err(Errno::EEXIST);
        }
        if conn != Conn::Local && own.len() >= self.quota.watches {
            return Err(Errno::E2BIG);
        }
        self.next_watch += 1;
        let id = self.next_watch;
        let token = token.into();
        let watch = Arc::new(Watch { id, owner: conn, path: at, relative_to, token });
        self.watches.add(watch.clone());
        if let Some(own) = self.watches_mut(conn) {
            own.push(watch);
        }
        Ok(id)
    }

    /// A token that no other watch has.
    #[must_use]
    pub fn next_token(&self) -> [u8; 8] {
        (self.next_watch + 1).to_le_bytes()
    }

    /// Gives the event of a watch that was just set.
    pub(crate) fn fire_first(&mut self, conn: Conn, id: u64) {
        let watch = self.watches_of(conn).iter().find(|watch| watch.id == id).cloned();
        if let Some(watch) = watch {
            self.tell(&watch, &watch.path);
        }
    }

    /// Ends a watch by path and token.
    ///
    /// # Errors
    /// `ENOENT`.
    pub fn unwatch(&mut self, conn: Conn, path: &str, token: &[u8]) -> Result<(), Errno> {
        let (at, relative_to) = self.watched_path(conn, path)?;
        let own = self.watches_of(conn).iter();
        let mut found =
            own.filter(|watch| is_same(watch, &at, relative_to.is_some(), token)).cloned();
        let watch = found.next().ok_or(Errno::ENOENT)?;
        self.end_watch(conn, watch.id);
        Ok(())
    }

    /// Ends a watch by its number.
    pub fn end_watch(&mut self, conn: Conn, id: u64) {
        let Some(own) = self.watches_mut(conn) else { return };
        let Some(index) = own.iter().position(|watch| watch.id == id) else { return };
        let watch = own.remove(index);
        own.shrink_to_fit();
        self.watches.remove(&watch);
        match conn {
            Conn::Local => self.news.retain(|(watch, _)| watch.id != id),
            Conn::Domain(domain) => {
                if let Some(connection) = self.domains.get_mut(&domain) {
                    connection.outbox.drop_watch(id);
                }
            }
        }
    }

    /// Ends all watches and transactions of somebody.
    pub(crate) fn reset_conn(&mut self, conn: Conn) {
        let watches = self.watches_mut(conn).map(core::mem::take).unwrap_or_default();
        for watch in &watches {
            self.watches.remove(watch);
            if let Conn::Domain(domain) = conn {
                if let Some(connection) = self.domains.get_mut(&domain) {
                    connection.outbox.drop_watch(watch.id);
                }
            }
        }
        self.open.retain(|_, open| open.owner != conn);
    }

    /// Watches of somebody.
    #[must_use]
    pub fn watches_of(&self, conn: Conn) -> &[Arc<Watch>] {
        match conn {
            Conn::Local => &self.local_watches,
            Conn::Domain(domain) => {
                self.domains.get(&domain).map_or(&[], |connection| &connection.watches)
            }
        }
    }

    fn watches_mut(&mut self, conn: Conn) -> Option<&mut Vec<Arc<Watch>>> {
        match conn {
            Conn::Local => Some(&mut self.local_watches),
            Conn::Domain(domain) => {
                self.domains.get_mut(&domain).map(|connection| &mut connection.watches)
            }
        }
    }

    /// The absolute path that is watched, and the home if it was given relative to that.
    fn watched_path(&self, conn: Conn, path: &str) -> Result<(Arc<str>, Option<Arc<str>>), Errno> {
        if path::is_special(path) {
            return match path::is_valid_special(path) {
                true => Ok((Arc::from(path), None)),
                false => Err(Errno::EINVAL),
            };
        }
        let home = self.home(conn);
        let relative_to = (!path.starts_with('/')).then(|| Arc::from(home.as_str()));
        Ok((Arc::from(path::absolute(&home, path)?), relative_to))
    }

    /// The home of somebody.
    #[must_use]
    pub fn home(&self, conn: Conn) -> String {
        match conn {
            Conn::Local => path::home(DomId::DOM0),
            Conn::Domain(domain) => path::home(domain),
        }
    }

    pub(super) fn fire(&mut self, happened: &Happened) {
        let path = happened.change.path.path();
        let watches = self.watches.matching(path, happened.change.exact);
        if watches.is_empty() {
            return;
        }
        let now = self.tree.get(path).map(|node| node.perms.clone());
        let above = path::parent(path).and_then(|parent| self.tree.get(parent));
        let above = above.map(|node| node.perms.clone());
        for watch in watches {
            let who = self.who(watch.owner);
            let perms = [happened.before.as_ref(), now.as_ref(), above.as_ref()];
            if perms.into_iter().flatten().any(|perms| perms.allow(&who, Need::Read)) {
                self.tell(&watch, path);
            }
        }
    }

    pub(super) fn fire_special(&mut self, name: &'static str) {
        let name: Arc<str> = Arc::from(name);
        let perms = self.special_perms(&name);
        for watch in self.watches.matching(&name, true) {
            if perms.allow(&self.who(watch.owner), Need::Read) {
                self.tell(&watch, &name);
            }
        }
    }

    /// Who hears of a special name.
    pub(crate) fn special_perms(&self, name: &str) -> Perms {
        self.special.get(name).cloned().unwrap_or_else(Perms::control_only)
    }

    /// Sets who hears of a special name.
    ///
    /// # Errors
    /// `EACCES` for everybody but the control domain, `EINVAL` for other names.
    pub(crate) fn set_special_perms(
        &mut self,
        conn: Conn,
        name: &str,
        perms: Perms,
    ) -> Result<(), Errno> {
        if !self.who(conn).is_privileged {
            return Err(Errno::EACCES);
        }
        if ![INTRODUCE_DOMAIN, RELEASE_DOMAIN].contains(&name) {
            return Err(Errno::EINVAL);
        }
        self.special.insert(Arc::from(name), perms);
        Ok(())
    }

    fn tell(&mut self, watch: &Arc<Watch>, path: &Arc<str>) {
        match watch.owner {
            Conn::Local => {
                let is_known =
                    self.news.iter().any(|(other, at)| other.id == watch.id && at == path);
                if !is_known {
                    self.news.push((watch.clone(), path.clone()));
                }
            }
            Conn::Domain(domain) => {
                self.has_told = true;
                let most = self.quota.events;
                if let Some(connection) = self.domains.get_mut(&domain) {
                    connection.outbox.push_event(watch, path, most);
                }
            }
        }
    }
}

fn is_same(watch: &Watch, path: &str, is_relative: bool, token: &[u8]) -> bool {
    *watch.path == *path && watch.relative_to.is_some() == is_relative && *watch.token == *token
}
