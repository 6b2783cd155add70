//! The network's system calls.

use core::net::Ipv4Addr;
use core::sync::atomic::{AtomicBool, Ordering};
use pvkernel_abi::Errno;
use std::boxed::Box;
use std::sync::Arc;
use std::vec::Vec;

use super::{Faults, World, A, SECOND_NS};
use crate::fs::{connect, ping, resolve, FileTable, Limits, RamFs, Vfs};
use crate::kernel::Kernel;
use crate::net::TcpListener;

pub const NEVER: crate::fs::GiveUp<'static> = &|| false;

pub fn bits(address: Ipv4Addr) -> u64 {
    address.to_bits().into()
}

pub fn table(kernel: &'static Kernel) -> FileTable {
    let root = Arc::new(RamFs::new(kernel.platform().clock, 1 << 20));
    FileTable::new(Box::leak(Box::new(Vfs::new(kernel, root, None, Limits::default()))))
}

#[test]
fn a_connection_is_a_descriptor() {
    let world = World::new(1500, false, Faults::NONE);
    let listener = TcpListener::bind(world.a, 80, 2, Default::default()).unwrap();
    let kernel = world.kernel;
    let server = kernel.spawn("server", move || {
        let stream = listener.accept(None).unwrap();
        let mut text = [0; 100];
        while let Ok(len @ 1..) = stream.read(&mut text, None) {
            stream.write_all(&text[..len], None).unwrap();
        }
    });
    let table = table(kernel);
    let fd = connect(world.b, &table, (bits(A), 80), 60 * SECOND_NS, NEVER).unwrap();
    assert_eq!(table.write(fd, b"hello", NEVER), Ok(5));
    let (mut got, mut piece) = (Vec::new(), [0; 3]);
    while got.len() < 5 {
        let len = table.read(fd, &mut piece, NEVER).unwrap();
        got.extend_from_slice(&piece[..len]);
    }
    assert_eq!(got, b"hello");
    assert_eq!(table.lseek(fd, 0, pvkernel_abi::Seek::Start), Err(Errno::ESPIPE));
    // Killed while it waits for more.
    let is_killed = Arc::new(AtomicBool::new(false));
    let asked = Arc::clone(&is_killed);
    let copy = table.fork().unwrap();
    let reader = kernel.spawn("reader", move || {
        let read = copy.read(fd, &mut [0; 9], &|| asked.load(Ordering::Relaxed));
        assert_eq!(read, Err(Errno::ETIMEDOUT));
    });
    let reader = reader.unwrap();
    kernel.yield_now();
    is_killed.store(true, Ordering::Relaxed);
    kernel.wake(reader.id());
    reader.join();
    table.close(fd).unwrap();
    server.unwrap().join();
}

#[test]
fn refusals_and_silence_are_errors() {
    let world = World::new(1500, false, Faults::NONE);
    let table = table(world.kernel);
    let to = |address, port| connect(world.b, &table, (address, port), SECOND_NS / 5, NEVER);
    assert_eq!(to(bits(A), 9), Err(Errno::ECONNREFUSED));
    assert_eq!(to(bits(Ipv4Addr::new(10, 9, 0, 77)), 9), Err(Errno::ETIMEDOUT));
    assert_eq!(to(0, 9), Err(Errno::EADDRNOTAVAIL));
    assert_eq!(to(1 << 32, 9), Err(Errno::EINVAL));
    assert_eq!(to(bits(A), 1 << 16), Err(Errno::EINVAL));
    assert_eq!(table.count(), 0);
    assert!(ping(world.b, bits(A), 56, 10 * SECOND_NS, NEVER).is_ok());
    assert_eq!(ping(world.b, bits(A), 60_000, SECOND_NS, NEVER), Err(Errno::EINVAL));
    assert_eq!(ping(world.b, bits(A), u64::MAX, SECOND_NS, NEVER), Err(Errno::EINVAL));
    assert_eq!(resolve(world.b, b"10.1.2.3", NEVER), Ok(0x0a01_0203));
    assert_eq!(resolve(world.b, b"\xff", NEVER), Err(Errno::EINVAL));
    assert_eq!(resolve(world.b, b"host.example", &|| true), Err(Errno::ETIMEDOUT));
}
