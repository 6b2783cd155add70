//! The network, where there is one: the gateway of the tests answers.

use pvkernel_user::{sys, Errno, Result};

use crate::meter::{Cost, Meter};

crate::rows! {
    ping,
    tcp_refused,
}

/// The other machine on the tests' network.
const GATEWAY: u32 = 0x0a00_0202;
const LIMIT_NS: u64 = 1_000_000_000;

/// Whether that means that there is no network.
pub fn is_absent(why: Errno) -> bool {
    matches!(why, Errno::ENETDOWN | Errno::ENOSYS | Errno::ETIMEDOUT | Errno::EADDRNOTAVAIL)
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
