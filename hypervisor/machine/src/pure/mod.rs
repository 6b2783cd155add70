//! The parts that touch no machine: arithmetic and parsing, which the host's tests run, too.

pub mod acpi;
pub mod memmap;
pub mod multiboot;
pub mod ring;
pub mod scale;
pub mod slab;
