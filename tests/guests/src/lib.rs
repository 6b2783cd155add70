//! What the test guests share: the raw call, and pages to play with.
#![cfg_attr(target_os = "none", no_std)]

pub mod call;
pub mod pages;
