//! Tests of the builder on images made in memory.

mod common;
mod kernel;
mod layout;
