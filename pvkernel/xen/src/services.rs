//! What a guest does beside its program: it listens to the tools.
//!
//! `start` makes a thread that tells the tools through the store what this domain understands, and
//! waits for `control/shutdown`. A request is acknowledged in a transaction, so that it is carried out
//! once and the tools see that somebody listens; then what was registered with `at_end` runs, and the
//! domain ends. A program that never yields does not hear anything: the tools have other means.
//!
//! Programs start it themselves; those whose hypercalls are counted do not.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, Ordering};

use hypercall_abi::Errno;
use pv_xenbus::{retry, Store, Tx};
use pvkernel_core::sync::Lock;

use crate::{power, println, thread, xenstore};

const REQUEST: &str = "control/shutdown";
/// What is announced; `halt` is understood as well, and needs no announcement.
const FEATURES: [&str; 2] = ["control/feature-poweroff", "control/feature-reboot"];

/// The ends that the tools ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Poweroff,
    Reboot,
}

type Hook = Box<dyn FnOnce() + Send>;

static HOOKS: Lock<Vec<Hook>> = Lock::new(Vec::new());
static STARTED: AtomicBool = AtomicBool::new(false);
static ASKED: AtomicBool = AtomicBool::new(false);
static WORK: thread::WaitQueue = thread::WaitQueue::new();

/// Starts listening; without a store there is nobody to listen to.
pub fn start() {
    if !xenstore::is_present() || STARTED.swap(true, Ordering::Relaxed) {
        return;
    }
    if thread::spawn("services", listen).is_err() {
        STARTED.store(false, Ordering::Relaxed);
        println!("services: no memory for a thread; 'zl shutdown' will stop this domain at once");
    }
}

/// Runs `hook` before the domain ends because the tools asked for it: what was registered last runs
/// first. It may wait.
pub fn at_end(hook: impl FnOnce() + Send + 'static) {
    HOOKS.lock().push(Box::new(hook));
}

fn listen() {
    let store = xenstore::store();
    let sink = |_: &str| {
        ASKED.store(true, Ordering::Release);
        WORK.wake_all();
    };
    let watched = store.watch(REQUEST, Arc::new(sink)).map(drop);
    // Only who listens announces it.
    let announced = watched.and_then(|()| {
        FEATURES.iter().try_for_each(|feature| store.write(Tx::NONE, feature, b"1"))
    });
    if let Err(errno) = announced {
        return println!("services: the tools cannot be listened to: {}", errno.text());
    }
    loop {
        WORK.wait_until(|| ASKED.swap(false, Ordering::AcqRel));
        if let Ok(Some(end)) = take_request(store) {
            carry_out(end);
        }
    }
}

/// The request, acknowledged; `None` when there is none that is understood.
fn take_request(store: &dyn Store) -> Result<Option<End>, Errno> {
    retry(store, |tx| {
        let value = match store.read(tx, REQUEST) {
            Err(Errno::ENOENT) => return Ok(None),
            value => value?,
        };
        let end = end_of(&value);
        if end.is_some() {
            store.write(tx, REQUEST, b"")?;
        }
        Ok(end)
    })
}

fn end_of(value: &[u8]) -> Option<End> {
    match value {
        b"poweroff" | b"halt" => Some(End::Poweroff),
        b"reboot" => Some(End::Reboot),
        // The empty value is our own acknowledgement.
        _ => None,
    }
}

fn carry_out(end: End) -> ! {
    loop {
        let hook = HOOKS.lock().pop();
        match hook {
            Some(hook) => hook(),
            None => break,
        }
    }
    match end {
        End::Poweroff => power::poweroff(),
        End::Reboot => power::reboot(),
    }
}

#[cfg(test)]
mod tests {
    use super::{end_of, take_request, End, REQUEST};
    use alloc::boxed::Box;
    use pv_xenbus::{Store, Tx};
    use zl_xenstore::{Hooks, Quota, Shared};

    #[test]
    fn a_request_is_taken_once_and_acknowledged() {
        let store = Box::new(Shared::new(Quota::default(), Hooks::NONE));
        assert_eq!(take_request(&*store), Ok(None));
        for (word, end) in
            [(&b"poweroff"[..], End::Poweroff), (b"halt", End::Poweroff), (b"reboot", End::Reboot)]
        {
            store.write(Tx::NONE, REQUEST, word).unwrap();
            assert_eq!(take_request(&*store), Ok(Some(end)));
            assert_eq!(store.read(Tx::NONE, REQUEST), Ok(b"".to_vec()));
            assert_eq!(take_request(&*store), Ok(None));
        }
    }

    #[test]
    fn what_is_not_understood_is_not_acknowledged() {
        let store = Box::new(Shared::new(Quota::default(), Hooks::NONE));
        for word in [&b"suspend"[..], b"crash", b"poweroff ", b"\xff"] {
            store.write(Tx::NONE, REQUEST, word).unwrap();
            assert_eq!((take_request(&*store), end_of(word)), (Ok(None), None));
            assert_eq!(store.read(Tx::NONE, REQUEST).as_deref(), Ok(word));
        }
    }
}
