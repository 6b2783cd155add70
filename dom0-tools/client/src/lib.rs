//! What `zl` on the host and the control domain say to each other.
#![no_std]
#![forbid(unsafe_code)]
