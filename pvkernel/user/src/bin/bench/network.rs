//! The network: TCP between two processes of this machine, and where there is a card the gateway of the tests,
//! which answers.

use pvkernel_user::file::{accept, connect};
use pvkernel_user::process::in_child;
use pvkernel_user::{sys, Errno, File, Result};

use crate::meter::{Cost, Meter};

crate::rows! {
    tcp_round_trip,
    tcp_64k,
    ping,
    tcp_refused,
}

/// The other machine on the tests' network.
const GATEWAY: u32 = 0x0a00_0202;
const LIMIT_NS: u64 = 1_000_000_000;
/// This machine.
const HOME: u32 = 0x7f00_0001;
const PORT: u16 = 5001;

/// Whether that means that there is no network.
pub fn is_absent(why: Errno) -> bool {
    matches!(why, Errno::ENETDOWN | Errno::ENOSYS | Errno::ETIMEDOUT | Errno::EADDRNOTAVAIL)
}

/// A connection to a process that answers each `size` bytes with one.
fn with_server(size: usize, measure: impl FnOnce(&File) -> Result<Cost>) -> Result<Cost> {
    let listener = sys::listen(HOME, PORT, 1)?;
    let child = in_child(|| match serve(listener, size) {
        Ok(()) => 0,
        Err(_) => 1,
    })?;
    let cost = connect(HOME, PORT, LIMIT_NS).and_then(|server| measure(&server));
    sys::close(listener)?;
    if cost.is_err() {
        // It may have ended already.
        let _ = sys::kill(child);
    }
    crate::processes::ended(child).and(cost)
}

fn serve(listener: u32, size: usize) -> Result<()> {
    let client = accept(listener, LIMIT_NS)?;
    let mut bytes = alloc::vec![0; size];
    while client.read_full(&mut bytes)? == size {
        client.write_all(&[1])?;
    }
    Ok(())
}

fn asked(server: &File, bytes: &[u8]) -> Result<()> {
    server.write_all(bytes)?;
    match server.read(&mut [0])? {
        1 => Ok(()),
        _ => Err(Errno::ECONNRESET),
    }
}

/// A byte to another process and back, by TCP.
fn tcp_round_trip(meter: Meter) -> Result<Cost> {
    with_server(1, |server| meter.mean(200, || asked(server, &[1])))
}

/// 64 KiB to another process, and a byte back that says it has them.
fn tcp_64k(meter: Meter) -> Result<Cost> {
    let bytes = alloc::vec![1; 64 << 10];
    with_server(bytes.len(), |server| meter.mean(20, || asked(server, &bytes)))
}

fn ping(meter: Meter) -> Result<Cost> {
    sys::ping(GATEWAY, 56, LIMIT_NS)?;
    meter.mean(10, || sys::ping(GATEWAY, 56, LIMIT_NS).map(|_| ()))
}

/// A connection that is refused, or made and closed: three packets.
fn tcp_refused(meter: Meter) -> Result<Cost> {
    meter.mean(10, || match sys::connect(GATEWAY, 9, LIMIT_NS) {
        Ok(fd) => sys::close(fd),
        Err(Errno::ECONNREFUSED | Errno::ECONNRESET) => Ok(()),
        Err(why) => Err(why),
    })
}
