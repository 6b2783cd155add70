//! The back half of network cards.
//!
//! `gather` makes packets of a guest's slots, `scatter` puts frames into the pages a guest posted,
//! `rate` and `spoof` say what a guest may send. All are decisions on copies; the memory is moved
//! by whoever calls.

mod gather;
mod rate;
mod scatter;
mod spoof;

pub use gather::{Gatherer, Packet, Part, Refusal, Step, MAX_PARTS};
pub use rate::{Bucket, Rate};
pub use scatter::{Posted, Sent, MAX_PAGES};
pub use spoof::Identity;
