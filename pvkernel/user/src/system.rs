//! What there is in the system: processes, mounts, the network.

use alloc::vec::Vec;

use pvkernel_abi::{Process, StatFs};
use zerocopy::FromZeros;

use crate::{sys, text, Errno, Result};

/// All processes, by number.
///
/// # Errors
/// Those of the system call.
pub fn processes() -> Result<Vec<Process>> {
    let mut room = 64;
    loop {
        let mut found = alloc::vec![Process::new_zeroed(); room];
        let count = sys::processes(&mut found)?;
        if count < room {
            found.truncate(count);
            found.sort_unstable_by_key(|process| process.pid);
            return Ok(found);
        }
        room *= 2;
    }
}

/// All mounts.
///
/// # Errors
/// Those of the system call.
pub fn mounts() -> Result<Vec<StatFs>> {
    let mut found = Vec::new();
    loop {
        match sys::statfs(found.len() as u64) {
            Ok(mount) => found.push(mount),
            Err(Errno::ENOENT) => return Ok(found),
            Err(why) => return Err(why),
        }
    }
}

/// The address of a machine by its address or name.
///
/// # Errors
/// Those of asking for a name.
pub fn address_of(host: &str) -> Result<u32> {
    text::ipv4(host).map_or_else(|| sys::resolve(host.as_bytes()), Ok)
}
