//! Scripts with which a person's shell completes `zl`.
//!
//! `zl completion SHELL` prints them. All three ask `zl __complete -- WORDS`, which prints one
//! candidate per line, and a line `:files` where local files fit as well.

/// Shells there is a script for.
pub const SHELLS: [&str; 3] = ["bash", "fish", "zsh"];
/// The hidden verb that the scripts call.
pub const COMPLETE: &str = "__complete";
/// The line that asks for local files.
pub const FILES: &str = ":files";

/// The script for a shell.
#[must_use]
pub fn script(shell: &str) -> Option<&'static str> {
    match shell {
        "bash" => Some(include_str!("zl.bash")),
        "fish" => Some(include_str!("zl.fish")),
        "zsh" => Some(include_str!("zl.zsh")),
        _ => None,
    }
}
