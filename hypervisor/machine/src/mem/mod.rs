//! Memory: who owns which frame, and the ways to reach frames and guest addresses.

pub mod directmap;
pub(crate) mod fixups;
pub mod frames;
pub mod guest;
pub mod heap;
pub mod hvslots;
pub(crate) mod mmio;
pub(crate) mod pt;
