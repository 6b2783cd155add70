//! Pipes against a queue, and the waits of both ends.

use alloc::collections::VecDeque;
use alloc::sync::Arc;
use core::sync::atomic::{AtomicBool, Ordering};
use proptest::prelude::*;
use pvkernel_abi::{open, Errno};
use std::boxed::Box;
use std::vec::Vec;

use super::*;
use crate::kernel::Kernel;
use crate::platform::hosted::Hosted;
use crate::sync::Lock;

const NEVER: GiveUp<'static> = &|| false;
/// Who would wait gives up.
const AT_ONCE: GiveUp<'static> = &|| true;

fn kernel() -> &'static Kernel {
    let (_, platform) = Hosted::leak();
    Box::leak(Box::new(Kernel::new(platform, "main")))
}

proptest! {
    #[test]
    fn a_pipe_is_a_queue(ops in prop::collection::vec(
        (any::<bool>(), prop_oneof![0_usize..300, 3000_usize..70_000]), 0..40)) {
        let (reader, writer) = pipe::ends(kernel());
        let (mut queue, mut next) = (VecDeque::new(), 0_u8);
        for (writes, len) in ops {
            if writes {
                let bytes: Vec<u8> = (0..len).map(|at| next.wrapping_add(at as u8)).collect();
                let room = PIPE_BYTES - queue.len();
                let expected = match len {
                    0 => Ok(0),
                    1..=4096 if room < len => Err(Errno::EAGAIN),
                    _ if room == 0 => Err(Errno::EAGAIN),
                    _ => Ok(len.min(room)),
                };
                let written = writer.write(0, &bytes, AT_ONCE);
                // The end of a long one is as whole as a short one.
                if let (Ok(count), Ok(most)) = (written, expected) {
                    prop_assert!(count == most || (count < most && len - count <= 4096));
                } else {
                    prop_assert_eq!(written, expected);
                }
                let count = written.unwrap_or(0);
                queue.extend(&bytes[..count]);
                next = next.wrapping_add(count as u8);
            } else if len > 0 {
                let mut bytes = std::vec![0; len];
                let read = reader.read(0, &mut bytes, AT_ONCE);
                let count = len.min(queue.len());
                prop_assert_eq!(read, if count == 0 { Err(Errno::EAGAIN) } else { Ok(count) });
                let expected: Vec<u8> = queue.drain(..count).collect();
                prop_assert_eq!(&bytes[..count], &expected[..]);
            }
            prop_assert_eq!(reader.stat().size, queue.len() as u64);
        }
    }
}

#[test]
fn everything_arrives_in_order_between_threads() {
    let kernel = kernel();
    let (reader, writer) = pipe::ends(kernel);
    let bytes: Vec<u8> = (0..300_000_u32).map(|at| (at * 7) as u8).collect();
    let sent = bytes.clone();
    let thread = kernel.spawn("writer", move || {
        for piece in sent.chunks(10_000) {
            assert_eq!(writer.write(0, piece, NEVER), Ok(piece.len()));
        }
    });
    let (mut received, mut piece) = (Vec::new(), [0; 7001]);
    loop {
        match reader.read(0, &mut piece, NEVER).unwrap() {
            0 => break,
            count => received.extend_from_slice(&piece[..count]),
        }
    }
    thread.unwrap().join();
    assert!(received == bytes);
}

#[test]
fn short_writes_of_many_stay_whole() {
    let kernel = kernel();
    let (reader, writer) = pipe::ends(kernel);
    let threads: Vec<_> = (1..=4_u8)
        .map(|id| {
            let writer = Arc::clone(&writer);
            let body = move || {
                for _ in 0..20 {
                    assert_eq!(writer.write(0, &[id; 4096], NEVER), Ok(4096));
                    kernel.yield_now();
                }
            };
            kernel.spawn("writer", body).unwrap()
        })
        .collect();
    drop(writer);
    let mut received = Vec::new();
    let mut piece = [0; 1500];
    loop {
        match reader.read(0, &mut piece, NEVER).unwrap() {
            0 => break,
            count => received.extend_from_slice(&piece[..count]),
        }
    }
    threads.into_iter().for_each(|thread| thread.join());
    assert_eq!(received.len(), 4 * 20 * 4096);
    assert!(received.chunks(4096).all(|chunk| chunk.iter().all(|byte| *byte == chunk[0])));
}

#[test]
fn the_end_of_one_side_is_seen_by_the_other() {
    let kernel = kernel();
    let (reader, writer) = pipe::ends(kernel);
    let waiting = Arc::new(Lock::new(None));
    let told = Arc::clone(&waiting);
    let thread = kernel.spawn("reader", move || {
        let result = reader.read(0, &mut [0; 10], NEVER);
        *told.lock() = Some(result);
    });
    kernel.yield_now();
    assert_eq!(*waiting.lock(), None);
    drop(writer);
    thread.unwrap().join();
    assert_eq!(*waiting.lock(), Some(Ok(0)));

    let (reader, writer) = pipe::ends(kernel);
    assert_eq!(writer.write(0, &[1; PIPE_BYTES], NEVER), Ok(PIPE_BYTES));
    let told = Arc::clone(&waiting);
    let thread = kernel.spawn("writer", move || {
        let result = writer.write(0, b"more", NEVER);
        *told.lock() = Some(result);
    });
    kernel.yield_now();
    drop(reader);
    thread.unwrap().join();
    assert_eq!(*waiting.lock(), Some(Err(Errno::EPIPE)));
}

#[test]
fn who_is_killed_waits_no_longer() {
    let kernel = kernel();
    let (reader, writer) = pipe::ends(kernel);
    let is_killed = Arc::new(AtomicBool::new(false));
    let (asked, result) = (Arc::clone(&is_killed), Arc::new(Lock::new(None)));
    let told = Arc::clone(&result);
    let thread = kernel.spawn("reader", move || {
        let read = reader.read(0, &mut [0; 10], &|| asked.load(Ordering::Relaxed));
        *told.lock() = Some(read);
    });
    let thread = thread.unwrap();
    kernel.yield_now();
    kernel.wake(thread.id());
    kernel.yield_now();
    assert_eq!(*result.lock(), None, "woken for nothing");
    is_killed.store(true, Ordering::Relaxed);
    kernel.wake(thread.id());
    thread.join();
    assert_eq!(*result.lock(), Some(Err(Errno::EAGAIN)));
    assert_eq!(writer.write(0, b"x", NEVER), Err(Errno::EPIPE));
}

#[test]
fn a_pipe_of_descriptors_ends_with_its_last_copy() {
    let kernel = kernel();
    let root = Arc::new(RamFs::new(kernel.platform().clock, 1 << 20));
    let vfs = Box::leak(Box::new(Vfs::new(kernel, root, None, Limits::default())));
    let table = FileTable::new(vfs);
    let (read, write) = table.pipe().unwrap();
    let child = table.fork().unwrap();
    table.close(write).unwrap();
    let mut bytes = [0; 8];
    assert_eq!(child.write(write, b"hello", NEVER), Ok(5));
    assert_eq!(table.read(read, &mut bytes, NEVER), Ok(5));
    assert_eq!(table.read(read, &mut bytes, AT_ONCE), Err(Errno::EAGAIN));
    drop(child);
    assert_eq!(table.read(read, &mut bytes, NEVER), Ok(0));
    assert_eq!(table.write(read, b"x", NEVER), Err(Errno::EBADF));
    assert_eq!(table.lseek(read, 0, pvkernel_abi::Seek::Start), Err(Errno::ESPIPE));
    assert_eq!(table.open(b"/x", open::READ), Err(Errno::ENOENT));
}
