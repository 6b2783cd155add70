//! Pipes: bytes from one end to the other.
//!
//! Up to `ATOMIC` bytes written at once stay together. Who reads an empty pipe waits until something is
//! written or nobody can write any more; who writes into a full one, until there is room or nobody
//! reads. Memory is taken as it is used.

use alloc::collections::VecDeque;
use alloc::sync::Arc;
use pvkernel_abi::{Errno, FileKind, Stat};

use super::file::{File, GiveUp};
use crate::kernel::Kernel;
use crate::sync::Lock;
use crate::wait::WaitQueue;

/// Bytes in a pipe at most.
pub const PIPE_BYTES: usize = 64 << 10;
/// Bytes that are written whole or not at all.
const ATOMIC: usize = 4096;

struct State {
    bytes: VecDeque<u8>,
    is_read: bool,
    is_written: bool,
}

struct Pipe {
    kernel: &'static Kernel,
    state: Lock<State>,
    readers: WaitQueue,
    writers: WaitQueue,
}

/// The end to read.
struct Reader(Arc<Pipe>);
/// The end to write.
struct Writer(Arc<Pipe>);

/// A new pipe: the end to read, the end to write. An end is closed when it is dropped.
pub(super) fn ends(kernel: &'static Kernel) -> (Arc<dyn File>, Arc<dyn File>) {
    let state = State { bytes: VecDeque::new(), is_read: true, is_written: true };
    let (readers, writers) = (WaitQueue::new(), WaitQueue::new());
    let pipe = Arc::new(Pipe { kernel, state: Lock::new(state), readers, writers });
    (Arc::new(Reader(Arc::clone(&pipe))), Arc::new(Writer(pipe)))
}

impl Pipe {
    fn stat(&self) -> Stat {
        let size = self.state.lock().bytes.len() as u64;
        Stat { size, kind: FileKind::Character as u32, ..Stat::default() }
    }

    /// Takes what is there; `None` to wait.
    fn take(&self, to: &mut [u8]) -> Option<usize> {
        let mut state = self.state.lock();
        if state.bytes.is_empty() {
            return (!state.is_written).then_some(0);
        }
        let count = to.len().min(state.bytes.len());
        let (first, second) = state.bytes.as_slices();
        let head = count.min(first.len());
        to[..head].copy_from_slice(&first[..head]);
        to[head..count].copy_from_slice(&second[..count - head]);
        state.bytes.drain(..count);
        Some(count)
    }

    /// Adds what there is room for; `None` to wait.
    fn put(&self, from: &[u8]) -> Option<Result<usize, Errno>> {
        let mut state = self.state.lock();
        if !state.is_read {
            return Some(Err(Errno::EPIPE));
        }
        let room = PIPE_BYTES - state.bytes.len();
        let least = if from.len() <= ATOMIC { from.len() } else { 1 };
        if room < least {
            return None;
        }
        let count = room.min(from.len());
        if state.bytes.try_reserve(count).is_err() {
            return Some(Err(Errno::ENOMEM));
        }
        state.bytes.extend(&from[..count]);
        Some(Ok(count))
    }
}

impl File for Reader {
    fn read(&self, _: u64, to: &mut [u8], give_up: GiveUp<'_>) -> Result<usize, Errno> {
        let pipe = &self.0;
        let mut count = pipe.take(to);
        if count.is_none() {
            pipe.readers.wait_until(pipe.kernel, || {
                count = pipe.take(to);
                count.is_some() || give_up()
            });
        }
        if count.is_some_and(|count| count > 0) {
            pipe.writers.wake_all(pipe.kernel);
        }
        count.ok_or(Errno::EAGAIN)
    }

    fn write(&self, _: u64, _: &[u8], _: GiveUp<'_>) -> Result<usize, Errno> {
        Err(Errno::EBADF)
    }

    fn stat(&self) -> Stat {
        self.0.stat()
    }
}

impl File for Writer {
    fn read(&self, _: u64, _: &mut [u8], _: GiveUp<'_>) -> Result<usize, Errno> {
        Err(Errno::EBADF)
    }

    fn write(&self, _: u64, from: &[u8], give_up: GiveUp<'_>) -> Result<usize, Errno> {
        let pipe = &self.0;
        // Short writes are whole, also the end of long ones.
        let mut done = 0;
        while done < from.len() {
            let mut put = pipe.put(&from[done..]);
            if put.is_none() {
                pipe.writers.wait_until(pipe.kernel, || {
                    put = pipe.put(&from[done..]);
                    put.is_some() || give_up()
                });
            }
            match put.unwrap_or(Err(Errno::EAGAIN)) {
                Ok(count) => done += count,
                Err(error) if done == 0 => return Err(error),
                Err(_) => break,
            }
            pipe.readers.wake_all(pipe.kernel);
        }
        Ok(done)
    }

    fn stat(&self) -> Stat {
        self.0.stat()
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        // Nobody will read what is left.
        let mut state = self.0.state.lock();
        state.is_read = false;
        let left = core::mem::take(&mut state.bytes);
        drop(state);
        drop(left);
        self.0.writers.wake_all(self.0.kernel);
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.0.state.lock().is_written = false;
        self.0.readers.wake_all(self.0.kernel);
    }
}
