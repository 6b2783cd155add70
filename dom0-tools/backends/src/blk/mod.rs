//! The back half of a disk: what a front half asks, checked, and what it is answered.
//!
//! A request is copied out of the ring once (`Link::take`), decoded (`request`), and checked against
//! the disk (`check`); from then on the types carry that it may be done. `Link` counts what is in
//! flight, keeps barriers in order and publishes answers in batches. `Table` remembers which granted
//! frames are mapped, `Runs` says which of them are copied in one go. `source` reads what the store says a disk is made of.
//!
//! Used by the thread `blkback` of the control domain, which moves the bytes.
//!
//! Invariants: whatever stands in the ring, nothing panics, no transfer leaves the disk or its frames,
//! and each request that was taken is answered once: an `Open` is not copied, and `finish` takes it.
//!
//! What it does not do: touch memory, map, notify, or wait.

mod check;
mod link;
mod request;
mod runs;
pub mod source;
mod table;
#[cfg(test)]
mod tests;

pub use check::{indirect, Disk, Job, Segment, Transfer};
pub use link::{Counters, Link, Open, Step};
pub use request::{Direction, Refusal};
pub use runs::{Run, Runs};
pub use table::{Place, Table};

/// Most segments of an indirect request: 1 MiB.
pub const MAX_INDIRECT_SEGMENTS: usize = 256;
/// Most frames of one front half that stay mapped: a full ring of requests of the classic size three
/// times over, as other back halves have it.
pub const MAX_PERSISTENT: usize = 1056;
/// Sectors in a frame.
pub const SECTORS_PER_FRAME: u8 = 8;
