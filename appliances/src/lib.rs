//! Guests that do something for their owner.
//!
//! `httpd` serves pages, `kv` keeps data on its disk, `pinger` measures networks. Each is a small
//! program on the teaching kernel; what it decides is here and tested on the host, against the kernel's
//! fake machine. `machine` is what they share of the real one.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod httpd;
pub mod kv;
pub mod machine;
pub mod pinger;

#[cfg(test)]
mod tests;
