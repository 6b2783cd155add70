//! Memory: who owns which frame, and the ways to reach frames and guest addresses.

#[cfg(target_os = "none")]
pub mod directmap;
#[cfg(target_os = "none")]
pub(crate) mod extable;
#[cfg(target_os = "none")]
pub mod frames;
#[cfg(target_os = "none")]
pub mod guest;
#[cfg(target_os = "none")]
pub mod heap;
#[cfg(target_os = "none")]
pub mod hvslots;
#[cfg(target_os = "none")]
pub(crate) mod mmio;
#[cfg(target_os = "none")]
pub(crate) mod pt;
pub mod slab;
