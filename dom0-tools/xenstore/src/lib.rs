//! The tree of configuration that all domains share: xenstore.
//!
//! Pure: messages in, answers and watch events out. The control domain's service moves the bytes.
#![no_std]
#![forbid(unsafe_code)]
