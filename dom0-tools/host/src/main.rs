//! The program `zl` on the host; all of it is in the library.
#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    ExitCode::from(zl_host::main_with(std::env::args().skip(1).collect()))
}
