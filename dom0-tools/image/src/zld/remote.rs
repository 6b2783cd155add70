//! A person at the host's terminal.
//!
//! The session's thread puts keys in as they come; the thread of the verb that runs takes them out and
//! writes. Frames leave one at a time. When the connection is lost the person is gone: waits end, and
//! what is written goes nowhere.

use super::uploads::Uploads;
use crate::screen::CHANGED;
use crate::terminal::{Key, Terminal};
use alloc::collections::VecDeque;
use alloc::string::String;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, Ordering};
use pvkernel_core::net::TcpStream;
use pvkernel_core::sleep_lock::SleepLock;
use pvkernel_core::sync::Lock;
use pvkernel_xen::thread;
use zl_cli::{top, Stream};
use zl_client::encode;
use zl_client::message::{Bytes, Channel, Reply, Size};
use zl_toolstack::staged::Contents;

/// Most keys typed ahead.
const MOST_KEYS: usize = 4096;
/// Most bytes of one frame of output.
const PIECE: usize = 32 << 10;

/// What is shown where it goes to a file or pipe.
const NO_TERMINAL: top::Size = top::Size { columns: 80, rows: 24 };

/// The terminal of a connection.
pub struct Remote {
    link: TcpStream,
    /// Held while a frame is written; the buffer it is written from.
    out: SleepLock<Vec<u8>>,
    keys: Lock<VecDeque<Key>>,
    interrupted: AtomicBool,
    gone: AtomicBool,
    size: Lock<Option<Size>>,
    /// Files that came over this connection.
    pub uploads: Lock<Uploads>,
}

impl Remote {
    /// The terminal at the other end of a connection.
    pub fn new(link: TcpStream) -> Self {
        Self {
            link,
            out: SleepLock::new(Vec::new()),
            keys: Lock::new(VecDeque::new()),
            interrupted: AtomicBool::new(false),
            gone: AtomicBool::new(false),
            size: Lock::new(None),
            uploads: Lock::new(Uploads::default()),
        }
    }

    /// The connection.
    pub fn link(&self) -> &TcpStream {
        &self.link
    }

    /// Sends a reply. A connection that breaks is noticed by everybody.
    pub fn say(&self, reply: &Reply<'_>) {
        if self.is_gone() {
            return;
        }
        let mut out = self.out.lock(thread::kernel());
        out.clear();
        let is_sent = encode(reply, &mut out).is_ok() && self.link.write_all(&out, None).is_ok();
        drop(out);
        if !is_sent {
            self.lose();
        }
    }

    /// The person is gone.
    pub fn lose(&self) {
        self.gone.store(true, Ordering::Release);
        self.link.abort();
        CHANGED.wake_all();
    }

    /// Forgets what was typed for an earlier verb.
    pub fn begin(&self, size: Option<Size>) {
        self.keys.lock().clear();
        self.interrupted.store(false, Ordering::Release);
        self.resize(size);
    }

    /// The person's terminal has this size.
    pub fn resize(&self, size: Option<Size>) {
        *self.size.lock() = size;
        CHANGED.wake_all();
    }

    /// The person typed; what nobody reads is lost beyond the bound, as on a real line.
    pub fn typed(&self, typed: impl Iterator<Item = Key>) {
        let mut keys = self.keys.lock();
        let room = MOST_KEYS.saturating_sub(keys.len());
        keys.extend(typed.take(room));
        drop(keys);
        CHANGED.wake_all();
    }

    /// The person typed ^C.
    pub fn interrupt(&self) {
        self.interrupted.store(true, Ordering::Release);
        CHANGED.wake_all();
    }
}

impl Terminal for Remote {
    fn write(&self, to: Stream, bytes: &[u8]) {
        let to = match to {
            Stream::Out => Channel::Out,
            Stream::Err => Channel::Err,
        };
        for piece in bytes.chunks(PIECE) {
            self.say(&Reply::Output { to, bytes: Bytes(piece) });
        }
    }

    fn take_key(&self) -> Option<Key> {
        self.keys.lock().pop_front()
    }

    fn has_key(&self) -> bool {
        !self.keys.lock().is_empty()
    }

    fn take_interrupt(&self) -> bool {
        self.interrupted.swap(false, Ordering::AcqRel) || self.is_gone()
    }

    fn is_gone(&self) -> bool {
        self.gone.load(Ordering::Acquire)
    }

    fn size(&self) -> top::Size {
        let size = *self.size.lock();
        size.map_or(NO_TERMINAL, |Size { columns, rows }| top::Size {
            columns: usize::from(columns).clamp(20, 500),
            rows: usize::from(rows).clamp(2, 200),
        })
    }

    fn sent(&self) -> Vec<(String, Contents)> {
        self.uploads.lock().in_memory()
    }

    fn wants_keys(&self, leave: Option<u8>) {
        self.say(&Reply::Keys { leave });
    }

    fn wants_lines(&self) {
        self.say(&Reply::Lines);
    }
}
