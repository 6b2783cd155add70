//! The control interface: what a toolstack asks of the hypervisor about other domains.
//!
//! `domctl` and `sysctl` copy a command's structure in, pass it to one function per command, and
//! copy it back if the command has something to tell. The functions see the structure only.

pub mod affinity;
pub mod context;
pub mod domctl;
pub mod info;
pub mod policy;
pub mod rights;
pub mod sysctl;

use hypercall_abi::{Errno, GuestVa};
use zerocopy::{Immutable, IntoBytes};

use crate::guestmem;

/// Copies as many items as the caller has room for; without an array it asks how many there are.
fn copy_out_or_count<T: IntoBytes + Immutable>(
    array: GuestVa,
    room: u32,
    items: impl ExactSizeIterator<Item = T>,
) -> Result<u32, Errno> {
    if array.is_null() {
        return Ok(items.len() as u32);
    }
    guestmem::write_array(array.get(), items.take(room as usize))
}
