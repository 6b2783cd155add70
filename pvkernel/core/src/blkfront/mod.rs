//! The front half of a disk, without a machine: what stands in requests, and whose answer it is.
//!
//! `Features` is what the back half offers. `encode` turns a request into a slot of the ring and, for
//! large ones, a list of segments. `Front` keeps what is in flight by number, so that an answer finds
//! its request and, when the back half starts anew, everything without answer is asked again.
//!
//! The pages of a request are consecutive, and each is granted to the back half for good.
//!
//! Used by `pvkernel_xen::blkfront`, which has the memory and the notifications.

mod encode;
mod front;
mod name;
#[cfg(test)]
mod tests;

pub use encode::{encode, Encoded, Features, Operation, MAX_INDIRECT};
pub use front::{Front, FrontError};
pub use name::disk_name;
