//! The verbs of `zl` and the shell around them: words in, text and a status out.
//!
//! The shell of the control domain uses this crate; whatever else offers the verbs uses the same
//! definitions. A line goes through `words` (quotes), `shell` (commands of the shell itself), the
//! table `verbs` with `args` (options) and `command`, and then `run`, which calls the toolstack.
//! `edit` is the line editor and `complete` what the tab key finds.
//!
//! Invariant: nothing here waits, reads a key or touches a screen. What a verb needs beyond text
//! (attach, wait, power off) comes back as an [`After`].
//!
//! Each mistake gives one line on the output and a status that is not 0.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod args;
pub mod command;
pub mod complete;
pub mod devices;
pub mod edit;
pub mod file_verbs;
pub mod format;
pub mod help;
pub mod json;
pub mod net_tools;
pub mod printed;
pub mod report;
pub mod run;
pub mod scripts;
pub mod shell;
pub mod top;
pub mod verbs;
pub mod words;
pub mod xenstore;

pub use command::Command;
pub use file_verbs::FileVerb;
pub use printed::{Printed, Printer, Stream};
pub use run::{run, After, LocalCounts, Outcome, Place, Stopwatch};
pub use shell::{Shell, Step};
