//! Devices between domains: who is there, and the two halves' way to each other and apart.
//!
//! A front driver in a guest implements [`FrontDriver`] and is started with [`serve_fronts`]; a back
//! driver in the control domain implements [`BackDriver`] and is run by a [`BackBus`]. What to do when is
//! decided by `pv_xenbus::device`; the glue here looks at the nodes, carries the steps out, and waits
//! for watches. Drivers never see states: they make rings, use them, and let go of them when told.

mod back;
mod front;
mod nodes;
#[cfg(test)]
mod tests;

pub use back::{BackBus, BackDriver};
pub use front::{serve_fronts, FrontDriver, Publication};
pub use nodes::Device;
