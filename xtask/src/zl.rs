//! `zl`: the toolstack's verbs from this terminal, as the program `zl` has them.
//!
//! Everything behind the verb belongs to `zl`, also what looks like an option of ours.

use crate::args::Args;
use crate::Result;

/// The verb. `zl` has statuses of its own, so it ends this program.
pub fn run(args: &mut Args) -> Result<()> {
    let mut words = args.rest();
    if words.first().is_some_and(|word| word == "--") {
        words.remove(0);
    }
    match zl_host::main_with(words) {
        0 => Ok(()),
        status => std::process::exit(i32::from(status)),
    }
}
