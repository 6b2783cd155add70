//! msr.
