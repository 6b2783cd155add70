//! ACPI: finds the firmware's tables and gives their content to the modules that want it.
//!
//! Called once by the boot processor. Without ACPI the machine runs on one CPU, with the PIT as
//! reference clock and no device lines.

pub mod parse;

#[cfg(target_os = "none")]
mod tables;
#[cfg(target_os = "none")]
pub(crate) use tables::{fadt, find_hpet, init, off_state};
