//! Memory that devices reach.
//!
//! A device reads and writes addresses of the machine, so a buffer must be contiguous there and not only in
//! the direct map. `contiguous` makes such memory, `pool` hands out pieces of it, `queue` lends the
//! pieces to devices, `hal` is what the crate of their drivers wants. Nothing here is ever taken back from a
//! device by force: memory goes to it by value and comes back by value.

mod contiguous;
#[path = "../../../xen/src/dma/hal.rs"]
mod hal;
#[path = "../../../xen/src/dma/pool.rs"]
mod pool;
#[path = "../../../xen/src/dma/queue.rs"]
mod queue;

pub(crate) use contiguous::MORE_MEMORY;
use hal::address;
pub use hal::DmaHal;
pub use pool::{Buffer, Pool};
pub use queue::DmaQueue;
