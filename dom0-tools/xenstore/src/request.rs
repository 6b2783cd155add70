//! One request of a domain: its payload is checked here, its answer made.
//!
//! `server` calls it with a whole message. Every payload is a claim; what does not have the form of
//! its type is `EINVAL`.

use crate::access::Perms;
use crate::server::{Conn, Server};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use hypercall_abi::{DomId, Errno, EvtchnPort, Mfn};
use pv_xenbus::path;
use pv_xenbus::wire::{self, Message, PAYLOAD_MAX};
use pv_xenbus::Tx;

const CONTROL_HELP: &[u8] = b"commands: help, check, quota\n\0";

impl Server {
    /// Executes a request and puts its answer into the outbox.
    pub(crate) fn execute(&mut self, domain: DomId, request: &Message) {
        let conn = Conn::Domain(domain);
        let result = self.answer(conn, request);
        let watch = match request.kind {
            wire::XS_WATCH => result.as_ref().ok().and(self.watches_of(conn).last()),
            _ => None,
        };
        let watch = watch.map(|watch| watch.id);
        if let Some(connection) = self.domains.get_mut(&domain) {
            connection.outbox.push_answer(request.answer(result));
        }
        // The first event comes behind the answer.
        if let Some(id) = watch {
            self.fire_first(conn, id);
        }
    }

    /// What a request of somebody is answered. An answer that does not fit a message is `E2BIG`.
    ///
    /// # Errors
    /// What the protocol says for the request.
    pub fn answer(&mut self, conn: Conn, request: &Message) -> Result<Vec<u8>, Errno> {
        let answer = self.answer_any(conn, request.kind, request.tx, &request.payload)?;
        match answer.len() > PAYLOAD_MAX {
            true => Err(Errno::E2BIG),
            false => Ok(answer),
        }
    }

    fn answer_any(
        &mut self,
        conn: Conn,
        kind: u32,
        tx: Tx,
        payload: &[u8],
    ) -> Result<Vec<u8>, Errno> {
        match kind {
            wire::XS_DIRECTORY => self.directory(conn, tx, payload),
            wire::XS_DIRECTORY_PART => self.directory_part(conn, tx, payload),
            wire::XS_READ => {
                let path = self.path(conn, one(payload)?)?;
                self.run(conn, tx, |session| session.read(&path)).map(|value| value.to_vec())
            }
            wire::XS_WRITE => self.write_request(conn, tx, payload),
            wire::XS_MKDIR => {
                let path = self.path(conn, one(payload)?)?;
                done(self.run(conn, tx, |session| session.mkdir(&path)))
            }
            wire::XS_RM => {
                let path = self.path(conn, one(payload)?)?;
                done(self.run(conn, tx, |session| session.rm(&path)))
            }
            wire::XS_GET_PERMS => self.get_perms(conn, tx, payload),
            wire::XS_SET_PERMS => self.set_perms_request(conn, tx, payload),
            wire::XS_WATCH | wire::XS_UNWATCH => self.watch_request(conn, kind, payload),
            wire::XS_RESET_WATCHES => {
                self.reset_conn(conn);
                done(Ok(()))
            }
            wire::XS_TRANSACTION_START | wire::XS_TRANSACTION_END => {
                self.transaction_request(conn, kind, tx, payload)
            }
            _ => self.answer_about_domains(conn, kind, payload),
        }
    }

    fn answer_about_domains(
        &mut self,
        conn: Conn,
        kind: u32,
        payload: &[u8],
    ) -> Result<Vec<u8>, Errno> {
        match kind {
            wire::XS_GET_DOMAIN_PATH => {
                let home = path::home(DomId::new(wire::number(one(payload)?.as_bytes())?));
                Ok(wire::strings(&[home.as_bytes()]))
            }
            wire::XS_IS_DOMAIN_INTRODUCED => {
                let domain = DomId::new(wire::number(one(payload)?.as_bytes())?);
                let is_known = domain == DomId::DOM0 || self.is_introduced(domain);
                Ok(wire::strings(&[if is_known { b"T" } else { b"F" }]))
            }
            wire::XS_CONTROL
            | wire::XS_INTRODUCE
            | wire::XS_RELEASE
            | wire::XS_RESUME
            | wire::XS_SET_TARGET => match self.who(conn).is_privileged {
                true => self.answer_privileged(kind, payload),
                false => Err(Errno::EACCES),
            },
            _ => Err(Errno::ENOSYS),
        }
    }

    fn answer_privileged(&mut self, kind: u32, payload: &[u8]) -> Result<Vec<u8>, Errno> {
        if kind == wire::XS_CONTROL {
            return self.control(payload);
        }
        let numbers = wire::split(payload).ok_or(Errno::EINVAL)?;
        let numbers: Vec<u64> = numbers.map(wire::number).collect::<Result<_, _>>()?;
        let domain_at = |index: usize| -> Result<DomId, Errno> {
            let number = numbers.get(index).ok_or(Errno::EINVAL)?;
            u16::try_from(*number).map(DomId::new).map_err(|_| Errno::EINVAL)
        };
        let domain = domain_at(0)?;
        match (kind, numbers.as_slice()) {
            (wire::XS_INTRODUCE, [_, frame, port, ..]) => {
                let port = u32::try_from(*port).map_err(|_| Errno::EINVAL)?;
                done(self.introduce(domain, Mfn::new(*frame), EvtchnPort::new(port)))
            }
            (wire::XS_RELEASE, _) => done(self.release(domain)),
            (wire::XS_RESUME, _) => {
                self.domains.get_mut(&domain).ok_or(Errno::ENOENT)?.has_ended = false;
                done(Ok(()))
            }
            (wire::XS_SET_TARGET, [_, _, ..]) => {
                let target = domain_at(1)?;
                if !self.is_introduced(target) {
                    return Err(Errno::ENOENT);
                }
                self.domains.get_mut(&domain).ok_or(Errno::ENOENT)?.target = Some(target);
                done(Ok(()))
            }
            _ => Err(Errno::EINVAL),
        }
    }

    fn control(&self, payload: &[u8]) -> Result<Vec<u8>, Errno> {
        match wire::split(payload).and_then(|mut words| words.next()) {
            Some(b"help") => Ok(CONTROL_HELP.to_vec()),
            Some(b"check") => match self.tree.check() {
                None => done(Ok(())),
                Some(wrong) => Ok(wire::strings(&[wrong.as_bytes()])),
            },
            Some(b"quota") => {
                let quota = &self.quota;
                let text = format!(
                    "nodes={} size={} perms={} bytes={} watches={} transactions={}\n",
                    quota.nodes,
                    quota.node_size,
                    quota.perms,
                    quota.bytes,
                    quota.watches,
                    quota.transactions
                );
                Ok(wire::strings(&[text.as_bytes()]))
            }
            _ => Err(Errno::EINVAL),
        }
    }

    fn directory(&mut self, conn: Conn, tx: Tx, payload: &[u8]) -> Result<Vec<u8>, Errno> {
        let path = self.path(conn, one(payload)?)?;
        let (_, names) = self.run(conn, tx, |session| session.list(&path))?;
        let names: Vec<&[u8]> = names.iter().map(|name| name.as_bytes()).collect();
        Ok(wire::strings(&names))
    }

    /// The list from an offset on, as much of it as fits; behind the last name stands one more NUL.
    fn directory_part(&mut self, conn: Conn, tx: Tx, payload: &[u8]) -> Result<Vec<u8>, Errno> {
        let mut words = wire::split(payload).ok_or(Errno::EINVAL)?;
        let path = self.path(conn, text(words.next())?)?;
        let offset: usize = wire::number(words.next().ok_or(Errno::EINVAL)?)?;
        let (generation, names) = self.run(conn, tx, |session| session.list(&path))?;
        let mut answer = wire::strings(&[format!("{generation}").as_bytes()]);
        let mut at = 0;
        for name in &names {
            // An offset inside a name is one nobody was given; the list goes on behind it.
            if at >= offset {
                if answer.len() + name.len() + 1 >= PAYLOAD_MAX {
                    return Ok(answer);
                }
                answer.extend_from_slice(name.as_bytes());
                answer.push(0);
            }
            at += name.len() + 1;
        }
        answer.push(0);
        Ok(answer)
    }

    fn write_request(&mut self, conn: Conn, tx: Tx, payload: &[u8]) -> Result<Vec<u8>, Errno> {
        let end = payload.iter().position(|byte| *byte == 0).ok_or(Errno::EINVAL)?;
        let (path, value) = payload.split_at(end);
        let path = self.path(conn, text(Some(path))?)?;
        let value = value.get(1..).unwrap_or(&[]);
        done(self.run(conn, tx, |session| session.write(&path, value)))
    }

    fn get_perms(&mut self, conn: Conn, tx: Tx, payload: &[u8]) -> Result<Vec<u8>, Errno> {
        let name = one(payload)?;
        let perms = if path::is_special(name) {
            self.special_perms(name)
        } else {
            let path = self.path(conn, name)?;
            self.run(conn, tx, |session| session.perms(&path))?
        };
        Ok(wire::perms_payload(perms.list()))
    }

    fn set_perms_request(&mut self, conn: Conn, tx: Tx, payload: &[u8]) -> Result<Vec<u8>, Errno> {
        let end = payload.iter().position(|byte| *byte == 0).ok_or(Errno::EINVAL)?;
        let (name, list) = payload.split_at(end);
        let name = text(Some(name))?;
        let perms = Perms::new(wire::perms_of(list.get(1..).unwrap_or(&[]))?)?;
        if path::is_special(name) {
            return done(self.set_special_perms(conn, name, perms));
        }
        let path = self.path(conn, name)?;
        done(self.run(conn, tx, |session| session.set_perms(&path, perms)))
    }

    fn watch_request(&mut self, conn: Conn, kind: u32, payload: &[u8]) -> Result<Vec<u8>, Errno> {
        let mut words = wire::split(payload).ok_or(Errno::EINVAL)?;
        let path = text(words.next())?;
        let token = words.next().ok_or(Errno::EINVAL)?;
        match kind {
            wire::XS_WATCH => done(self.watch(conn, path, token).map(drop)),
            _ => done(self.unwatch(conn, path, token)),
        }
    }

    fn transaction_request(
        &mut self,
        conn: Conn,
        kind: u32,
        tx: Tx,
        payload: &[u8],
    ) -> Result<Vec<u8>, Errno> {
        if kind == wire::XS_TRANSACTION_START {
            if tx != Tx::NONE {
                return Err(Errno::EBUSY);
            }
            let Tx(number) = self.begin(conn)?;
            return Ok(wire::strings(&[format!("{number}").as_bytes()]));
        }
        match one(payload)? {
            "T" => done(self.end(conn, tx, true)),
            "F" => done(self.end(conn, tx, false)),
            _ => Err(Errno::EINVAL),
        }
    }

    fn path(&self, conn: Conn, path: &str) -> Result<String, Errno> {
        path::absolute(&self.home(conn), path)
    }
}

fn done(result: Result<(), Errno>) -> Result<Vec<u8>, Errno> {
    result.map(|()| wire::OK.to_vec())
}

/// The first string of a payload.
fn one(payload: &[u8]) -> Result<&str, Errno> {
    text(wire::split(payload).and_then(|mut words| words.next()))
}

fn text(bytes: Option<&[u8]>) -> Result<&str, Errno> {
    core::str::from_utf8(bytes.ok_or(Errno::EINVAL)?).map_err(|_| Errno::EINVAL)
}
