//! Clients of the store: a thread for each, up to a bound.

use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;

use pvkernel_core::net::{NetError, Stack, TcpListener, TcpOptions, TcpStream};
use pvkernel_core::sleep_lock::SleepLock;

use super::log::{Disk, Kv};
use super::protocol::{execute, MAX_LINE};

/// Clients served at once.
const CLIENTS: usize = 16;
/// How long a client may be silent.
const SILENCE_NS: u64 = 300_000_000_000;
/// Answers are sent when so many bytes of them have come together, or nothing more was asked.
const ANSWERS: usize = 64 << 10;

/// The store as its clients share it.
pub type Shared<D> = Arc<SleepLock<Kv<D>>>;

/// Listens at a port.
///
/// # Errors
/// What prevents it.
pub fn listen(stack: &'static Stack, port: u16) -> Result<TcpListener, NetError> {
    TcpListener::bind(stack, port, 4, TcpOptions::default())
}

/// Serves clients for ever.
///
/// # Errors
/// What prevents listening or another thread.
pub fn serve<D: Disk + Send + 'static>(
    stack: &'static Stack,
    listener: &TcpListener,
    kv: &Shared<D>,
) -> Result<(), NetError> {
    let places = Arc::new(());
    loop {
        let stream = listener.accept(None)?;
        if Arc::strong_count(&places) > CLIENTS {
            // Too many clients: whether this one hears the reason is not ours to wait for.
            let _ = stream.write(b"ERROR too many clients; come back later\n", Some(0));
            continue;
        }
        let (kv, place) = (Arc::clone(kv), Arc::clone(&places));
        let body = move || {
            // The end of a connection, however it comes, is the end of this client.
            let _ = converse(stack, &stream, &kv);
            drop((stream, place));
        };
        stack.kernel().spawn("client", body).map_err(|_| NetError::NoMemory)?;
    }
}

/// Answers a client until it has enough.
fn converse<D: Disk>(
    stack: &'static Stack,
    stream: &TcpStream,
    kv: &SleepLock<Kv<D>>,
) -> Result<(), NetError> {
    let mut lines = Lines::default();
    let mut part = vec![0; 4096];
    let mut out = Vec::new();
    loop {
        while let Some(line) = lines.next() {
            let goes_on = {
                let mut kv = kv.lock(stack.kernel());
                execute(&mut kv, &line, &mut out)
            };
            if out.len() > ANSWERS || !goes_on {
                send(stream, &mut out)?;
            }
            if !goes_on {
                return Ok(());
            }
        }
        send(stream, &mut out)?;
        if lines.is_too_long() {
            out.extend(b"ERROR the line is too long\n");
            return send(stream, &mut out);
        }
        let len = stream.read(&mut part, stream.within(SILENCE_NS))?;
        if len == 0 {
            return Ok(());
        }
        lines.add(part.get(..len).unwrap_or_default());
    }
}

fn send(stream: &TcpStream, out: &mut Vec<u8>) -> Result<(), NetError> {
    stream.write_all(out, stream.within(SILENCE_NS))?;
    out.clear();
    Ok(())
}

/// Cuts what comes into lines.
#[derive(Debug, Default)]
struct Lines {
    bytes: Vec<u8>,
    /// Bytes in which there is no end of a line.
    seen: usize,
}

impl Lines {
    fn add(&mut self, bytes: &[u8]) {
        self.bytes.extend(bytes);
    }

    /// The next line without its end, which may be a carriage return and a line feed.
    fn next(&mut self) -> Option<Vec<u8>> {
        let unseen = self.bytes.get(self.seen..).unwrap_or_default();
        let Some(at) = unseen.iter().position(|byte| *byte == b'\n') else {
            self.seen = self.bytes.len();
            return None;
        };
        let rest = self.bytes.split_off(self.seen + at + 1);
        let mut line = core::mem::replace(&mut self.bytes, rest);
        self.seen = 0;
        line.pop();
        line.pop_if(|last| *last == b'\r');
        Some(line)
    }

    fn is_too_long(&self) -> bool {
        self.bytes.len() > MAX_LINE
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn lines_are_the_same_however_they_come(
            text in "[ab\\r\\n]{0,60}",
            cuts in proptest::collection::vec(1usize..9, 0..60),
        ) {
            let mut expected: Vec<Vec<u8>> = text
                .split('\n')
                .map(|line| line.strip_suffix('\r').unwrap_or(line).as_bytes().to_vec())
                .collect();
            expected.pop();
            let (mut lines, mut found) = (Lines::default(), Vec::new());
            let mut rest = text.as_bytes();
            for cut in cuts.into_iter().chain([text.len()]) {
                let (part, behind) = rest.split_at(cut.min(rest.len()));
                lines.add(part);
                found.extend(core::iter::from_fn(|| lines.next()));
                rest = behind;
            }
            prop_assert_eq!(found, expected);
        }
    }
}
