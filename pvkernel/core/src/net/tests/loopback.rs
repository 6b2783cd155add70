//! A machine that talks to itself, by system calls.

use core::net::Ipv4Addr;
use core::sync::atomic::{AtomicBool, Ordering};
use pvkernel_abi::{Errno, Seek};
use std::boxed::Box;
use std::sync::Arc;
use std::vec;
use std::vec::Vec;

use super::files::{bits, table, NEVER};
use super::{kernel, SECOND_NS};
use crate::device::loopback::Loopback;
use crate::fs::{connect, listen, ping, FileTable};
use crate::kernel::Kernel;
use crate::net::{Config, Stack};

const HOME: Ipv4Addr = Ipv4Addr::LOCALHOST;

struct World {
    kernel: &'static Kernel,
    stack: &'static Stack,
    table: FileTable,
}

fn world() -> World {
    let kernel = kernel();
    let card = Box::leak(Box::new(Loopback::new()));
    let stack = Stack::start(kernel, card, Config::Loopback, 5).expect("a stack");
    World { kernel, stack, table: table(kernel) }
}

impl World {
    fn listen(&self, port: u64) -> Result<u64, Errno> {
        listen(self.stack, &self.table, (bits(HOME), port), 2)
    }

    fn connect(&self, to: Ipv4Addr, port: u64) -> Result<u64, Errno> {
        connect(self.stack, &self.table, (bits(to), port), SECOND_NS, NEVER)
    }

    /// Both ends of a connection: that of who listened last.
    fn pair(&self, port: u64) -> (u64, u64) {
        let listener = self.listen(port).unwrap();
        let near = self.connect(HOME, port).unwrap();
        let far = self.table.accept(listener, SECOND_NS, NEVER).unwrap();
        self.table.close(listener).unwrap();
        (far, near)
    }
}

#[test]
fn a_megabyte_goes_round_and_comes_back_whole() {
    let world = world();
    let (far, near) = world.pair(80);
    let echo = world.table.fork().unwrap();
    world.table.close(far).unwrap();
    let server = world.kernel.spawn("echo", move || {
        echo.close(near).unwrap();
        let mut piece = vec![0; 10_000];
        while let Ok(len @ 1..) = echo.read(far, &mut piece, NEVER) {
            let mut sent = 0;
            while sent < len {
                sent += echo.write(far, &piece[sent..len], NEVER).unwrap();
            }
        }
    });
    let sent: Vec<u8> = (0..1_000_000u32).map(|at| ((at * 7) >> 3) as u8).collect();
    let (mut got, mut piece, mut at) = (Vec::new(), vec![0; 20_000], 0);
    while got.len() < sent.len() {
        if at < sent.len() {
            at += world.table.write(near, &sent[at..(at + 9000).min(sent.len())], NEVER).unwrap();
        }
        let len = world.table.read(near, &mut piece, NEVER).unwrap();
        got.extend_from_slice(&piece[..len]);
    }
    assert!(got == sent);
    world.table.close(near).unwrap();
    server.unwrap().join();
}

#[test]
fn nobody_waits_for_time_to_pass() {
    let world = world();
    let (far, near) = world.pair(80);
    let before = world.kernel.now_ns();
    for _ in 0..100 {
        world.table.write(near, &[1; 100], NEVER).unwrap();
        assert_eq!(world.table.read(far, &mut [0; 100], NEVER), Ok(100));
    }
    let took_ns = world.kernel.now_ns() - before;
    assert!(took_ns < SECOND_NS, "an acknowledgement came late: {took_ns} ns");
}

#[test]
fn what_cannot_be_listened_at_is_told() {
    let world = world();
    let at = |address: u64, port| listen(world.stack, &world.table, (address, port), u64::MAX);
    assert_eq!(at(bits(HOME), 0), Err(Errno::EADDRNOTAVAIL));
    assert_eq!(at(bits(HOME), 1 << 16), Err(Errno::EINVAL));
    assert_eq!(at(1 << 32, 80), Err(Errno::EINVAL));
    assert_eq!(at(bits(Ipv4Addr::new(127, 0, 0, 2)), 80), Err(Errno::EADDRNOTAVAIL));
    let first = at(0, 80).unwrap();
    assert_eq!(at(bits(HOME), 80), Err(Errno::EADDRINUSE));
    world.table.close(first).unwrap();
    assert!(at(bits(HOME), 80).is_ok(), "free again");
}

#[test]
fn a_listener_is_no_stream_and_a_stream_no_listener() {
    let world = world();
    let listener = world.listen(80).unwrap();
    let accept = |fd| world.table.accept(fd, 1000, NEVER);
    assert_eq!(accept(listener), Err(Errno::ETIMEDOUT));
    assert_eq!(accept(77), Err(Errno::EBADF));
    assert_eq!(world.table.read(listener, &mut [0; 1], NEVER), Err(Errno::EINVAL));
    assert_eq!(world.table.write(listener, &[0; 1], NEVER), Err(Errno::EINVAL));
    assert_eq!(world.table.lseek(listener, 0, Seek::Start), Err(Errno::ESPIPE));
    let near = world.connect(HOME, 80).unwrap();
    let far = accept(listener).unwrap();
    assert_eq!((accept(near), accept(far)), (Err(Errno::EINVAL), Err(Errno::EINVAL)));
    world.table.close(near).unwrap();
    assert_eq!(world.table.read(far, &mut [0; 1], NEVER), Ok(0), "its end");
}

#[test]
fn only_the_machine_itself_is_reached() {
    let world = world();
    assert_eq!(world.connect(HOME, 9), Err(Errno::ECONNREFUSED));
    for other in [Ipv4Addr::new(127, 0, 0, 2), Ipv4Addr::new(10, 0, 0, 1), Ipv4Addr::UNSPECIFIED] {
        assert_eq!(world.connect(other, 9), Err(Errno::EADDRNOTAVAIL), "{other}");
        let echo = ping(world.stack, bits(other), 8, SECOND_NS, NEVER);
        assert_eq!(echo, Err(Errno::EADDRNOTAVAIL), "{other}");
    }
    assert!(ping(world.stack, bits(HOME), 56, SECOND_NS, NEVER).is_ok());
}

#[test]
fn who_is_killed_accepts_no_more() {
    let world = world();
    let listener = world.listen(80).unwrap();
    let is_killed = Arc::new(AtomicBool::new(false));
    let asked = Arc::clone(&is_killed);
    let table = world.table.fork().unwrap();
    let thread = world.kernel.spawn("accept", move || {
        let accepted = table.accept(listener, u64::MAX, &|| asked.load(Ordering::Relaxed));
        assert_eq!(accepted, Err(Errno::ETIMEDOUT));
    });
    let thread = thread.unwrap();
    world.kernel.yield_now();
    is_killed.store(true, Ordering::Relaxed);
    world.kernel.wake(thread.id());
    thread.join();
}

#[test]
fn who_is_not_accepted_holds_up_to_the_backlog() {
    let world = world();
    let listener = world.listen(80).unwrap();
    let waiting = [world.connect(HOME, 80), world.connect(HOME, 80)];
    assert!(waiting.iter().all(Result::is_ok));
    assert_eq!(world.connect(HOME, 80), Err(Errno::ECONNREFUSED));
    assert!(world.table.accept(listener, SECOND_NS, NEVER).is_ok());
    assert!(world.connect(HOME, 80).is_ok());
    world.table.close(listener).unwrap();
    assert_eq!(world.connect(HOME, 80), Err(Errno::ECONNREFUSED));
}
