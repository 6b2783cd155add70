//! The operations on the store as messages.
//!
//! [`CallingStore`] makes a [`Store`] of whatever can carry a message and wait for the answer: in a guest
//! the ring, in tests a model.

use alloc::string::String;
use alloc::vec::Vec;
use hypercall_abi::Errno;

use crate::store::{Perm, Store, Tx, WatchId, WatchSink};
use crate::wire;

/// What can carry one call to the store and wait for its answer.
pub trait StoreCalls: Send + Sync {
    /// Makes a call.
    ///
    /// # Errors
    /// What the store answers, or what [`Client::ask`] says.
    fn call(&self, kind: u32, tx: Tx, payload: Vec<u8>) -> Result<Vec<u8>, Errno>;

    /// Watches a path.
    ///
    /// # Errors
    /// What the store answers.
    fn add_watch(&self, path: &str, sink: WatchSink) -> Result<WatchId, Errno>;

    /// Ends a watch.
    fn remove_watch(&self, watch: WatchId);
}

/// How often a list that changes while it is read in parts is begun again.
const LIST_TRIES: u32 = 16;

/// The store behind something that carries calls.
pub struct CallingStore<C>(pub C);

impl<C: StoreCalls> Store for CallingStore<C> {
    fn read(&self, tx: Tx, path: &str) -> Result<Vec<u8>, Errno> {
        self.0.call(wire::XS_READ, tx, of_path(path)?)
    }

    fn list(&self, tx: Tx, path: &str) -> Result<Vec<String>, Errno> {
        match self.0.call(wire::XS_DIRECTORY, tx, of_path(path)?) {
            Err(Errno::E2BIG) => list_in_parts(&self.0, tx, path),
            answer => names(&answer?),
        }
    }

    fn write(&self, tx: Tx, path: &str, value: &[u8]) -> Result<(), Errno> {
        let mut payload = of_path(path)?;
        payload.extend_from_slice(value);
        self.0.call(wire::XS_WRITE, tx, payload).map(drop)
    }

    fn mkdir(&self, tx: Tx, path: &str) -> Result<(), Errno> {
        self.0.call(wire::XS_MKDIR, tx, of_path(path)?).map(drop)
    }

    fn rm(&self, tx: Tx, path: &str) -> Result<(), Errno> {
        self.0.call(wire::XS_RM, tx, of_path(path)?).map(drop)
    }

    fn perms(&self, tx: Tx, path: &str) -> Result<Vec<Perm>, Errno> {
        wire::perms_of(&self.0.call(wire::XS_GET_PERMS, tx, of_path(path)?)?)
    }

    fn set_perms(&self, tx: Tx, path: &str, perms: &[Perm]) -> Result<(), Errno> {
        let mut payload = of_path(path)?;
        payload.extend(wire::perms_payload(perms));
        self.0.call(wire::XS_SET_PERMS, tx, payload).map(drop)
    }

    fn begin(&self) -> Result<Tx, Errno> {
        let answer = self.0.call(wire::XS_TRANSACTION_START, Tx::NONE, alloc::vec![0])?;
        let digits = answer.strip_suffix(b"\0").unwrap_or(&answer);
        match wire::number(digits) {
            Ok(0) | Err(_) => Err(Errno::EIO),
            Ok(number) => Ok(Tx(number)),
        }
    }

    fn end(&self, tx: Tx, commit: bool) -> Result<(), Errno> {
        let payload = if commit { b"T\0" } else { b"F\0" };
        self.0.call(wire::XS_TRANSACTION_END, tx, Vec::from(payload)).map(drop)
    }

    fn watch(&self, path: &str, sink: WatchSink) -> Result<WatchId, Errno> {
        of_path(path)?;
        self.0.add_watch(path, sink)
    }

    fn unwatch(&self, watch: WatchId) {
        self.0.remove_watch(watch);
    }
}

/// A path as the first string of a payload: with a NUL inside it would be something else.
fn of_path(path: &str) -> Result<Vec<u8>, Errno> {
    match path.is_empty() || path.as_bytes().contains(&0) {
        true => Err(Errno::EINVAL),
        false => Ok(wire::strings(&[path.as_bytes()])),
    }
}

fn names(payload: &[u8]) -> Result<Vec<String>, Errno> {
    let name = |name: &[u8]| String::from_utf8(Vec::from(name)).map_err(|_| Errno::EIO);
    wire::split(payload).ok_or(Errno::EIO)?.map(name).collect()
}

/// A list too long for one message. Each part begins with the generation of the node; a part of another
/// generation belongs to another list. An empty name ends the last part.
fn list_in_parts(calls: &dyn StoreCalls, tx: Tx, path: &str) -> Result<Vec<String>, Errno> {
    'again: for _ in 0..LIST_TRIES {
        let mut list: Vec<u8> = Vec::new();
        let mut generation: Option<Vec<u8>> = None;
        loop {
            let offset = alloc::format!("{}", list.len());
            let payload = wire::strings(&[path.as_bytes(), offset.as_bytes()]);
            let part = calls.call(wire::XS_DIRECTORY_PART, tx, payload)?;
            let end = part.iter().position(|byte| *byte == 0).ok_or(Errno::EIO)?;
            let (its_generation, rest) = part.split_at(end + 1);
            if generation.get_or_insert_with(|| Vec::from(its_generation)) != its_generation {
                continue 'again;
            }
            match rest {
                // A part without names that does not end the list would go on for ever.
                [] => return Err(Errno::EIO),
                [0] => return names(&list),
                [some @ .., 0, 0] => {
                    list.extend_from_slice(some);
                    list.push(0);
                    return names(&list);
                }
                some => list.extend_from_slice(some),
            }
        }
    }
    Err(Errno::EAGAIN)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::boxed::Box;
    use alloc::vec;

    /// Answers by a function of the request.
    struct Answers<F>(F);

    impl<F> StoreCalls for Answers<F>
    where
        F: Fn(u32, &[u8]) -> Result<Vec<u8>, Errno> + Send + Sync,
    {
        fn call(&self, kind: u32, _: Tx, payload: Vec<u8>) -> Result<Vec<u8>, Errno> {
            (self.0)(kind, &payload)
        }

        fn add_watch(&self, _: &str, _: WatchSink) -> Result<WatchId, Errno> {
            Ok(WatchId(1))
        }

        fn remove_watch(&self, _: WatchId) {}
    }

    fn store<F>(answer: F) -> Box<dyn Store>
    where
        F: Fn(u32, &[u8]) -> Result<Vec<u8>, Errno> + Send + Sync + 'static,
    {
        Box::new(CallingStore(Answers(answer)))
    }

    /// A store with one long list that hands out at most `chunk` bytes of it; the generation changes
    /// after the first `restarts` parts.
    fn long_list(list: Vec<u8>, chunk: usize, restarts: usize) -> Box<dyn Store> {
        let asked = core::sync::atomic::AtomicUsize::new(0);
        store(move |kind, payload| {
            if kind == wire::XS_DIRECTORY {
                return Err(Errno::E2BIG);
            }
            assert_eq!(kind, wire::XS_DIRECTORY_PART);
            let offset: usize =
                wire::number(wire::split(payload).unwrap().nth(1).unwrap()).unwrap();
            let asked = asked.fetch_add(1, core::sync::atomic::Ordering::Relaxed);
            let mut part = alloc::format!("{}\0", asked.min(restarts)).into_bytes();
            let rest = &list[offset..];
            let mut len = rest.len().min(chunk);
            while len > 0 && rest[len - 1] != 0 {
                len -= 1;
            }
            part.extend_from_slice(&rest[..len]);
            if len == rest.len() {
                part.push(0);
            }
            Ok(part)
        })
    }

    #[test]
    fn long_lists_come_in_parts_of_one_generation() {
        let names: Vec<String> = (0..50).map(|number| alloc::format!("node{number}")).collect();
        let list = wire::strings(&names.iter().map(|name| name.as_bytes()).collect::<Vec<_>>());
        for (chunk, restarts) in [(10, 0), (64, 3), (1000, 0), (9, 15)] {
            let store = long_list(list.clone(), chunk, restarts);
            assert_eq!(store.list(Tx::NONE, "/x"), Ok(names.clone()), "{chunk} {restarts}");
        }
        let restless = long_list(list.clone(), 10, usize::MAX);
        assert_eq!(restless.list(Tx::NONE, "/x"), Err(Errno::EAGAIN));
        let stuck = long_list(list, 3, 0);
        assert_eq!(stuck.list(Tx::NONE, "/x"), Err(Errno::EIO));
        assert_eq!(long_list(vec![], 10, 0).list(Tx::NONE, "/x"), Ok(vec![]));
    }

    #[test]
    fn calls_have_the_form_of_the_protocol() {
        let echo = store(|kind, payload| {
            let expected: &[u8] = match kind {
                wire::XS_READ | wire::XS_MKDIR | wire::XS_RM => b"a/b\0",
                wire::XS_WRITE => b"a/b\0value",
                wire::XS_SET_PERMS => b"a/b\0n0\0r5\0",
                wire::XS_GET_PERMS => return Ok(b"n0\0r5\0".to_vec()),
                wire::XS_DIRECTORY => return Ok(b"one\0two\0".to_vec()),
                wire::XS_TRANSACTION_START => return Ok(b"17\0".to_vec()),
                wire::XS_TRANSACTION_END => b"T\0",
                _ => return Err(Errno::ENOSYS),
            };
            assert_eq!(payload, expected, "{kind}");
            Ok(wire::OK.to_vec())
        });
        let tx = echo.begin().unwrap();
        assert_eq!(tx, Tx(17));
        echo.write(tx, "a/b", b"value").unwrap();
        echo.mkdir(tx, "a/b").unwrap();
        echo.rm(tx, "a/b").unwrap();
        assert_eq!(echo.read(tx, "a/b"), Ok(wire::OK.to_vec()));
        let perms = echo.perms(tx, "a/b").unwrap();
        echo.set_perms(tx, "a/b", &perms).unwrap();
        assert_eq!(echo.list(tx, "a").unwrap(), ["one", "two"]);
        echo.end(tx, true).unwrap();
        for wrong in ["", "a\0b"] {
            assert_eq!(echo.read(tx, wrong), Err(Errno::EINVAL));
        }
    }

    #[test]
    fn a_transaction_without_number_is_an_error() {
        for answer in [&b"0\0"[..], b"\0", b"", b"x\0"] {
            let broken = store(move |_, _| Ok(answer.to_vec()));
            assert_eq!(broken.begin(), Err(Errno::EIO));
        }
    }
}
