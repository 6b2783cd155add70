//! Processes: programs with memory, descriptors, a parent and a kernel thread.
//!
//! `Process` is what is known about one, `Processes` the table of all. The thread of a process is in
//! `life`: it runs the program until that wants something, does it, and goes on, until the process ends.
//! `create` has fork and exec, `end` has exit, wait and kill.
//!
//! Who uses it: `os` makes the first process, `syscall` is called by `life` and calls the rest.
//!
//! What always holds: only its own thread changes a process's memory; a process that has ended keeps
//! nothing but its status; kill sets a flag and wakes, and the thread itself ends the process at a place
//! where it holds nothing.

mod create;
mod end;
mod life;
mod meter;
mod process;
mod table;
#[cfg(test)]
mod tests;

pub use create::start_first;
pub(crate) use meter::Meters;
pub use process::Process;
pub use table::Processes;

/// Processes there are at most.
pub const MAX: usize = 256;
/// The number of the first process, to which orphans go.
pub const FIRST: u32 = 1;
