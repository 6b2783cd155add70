//! What `$` leads to, and how a text is quoted.

use alloc::collections::BTreeMap;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

/// What `$` leads to.
#[derive(Clone, Debug, Default)]
pub struct Variables {
    /// By name.
    pub named: BTreeMap<String, String>,
    /// Name of the script, then its arguments.
    pub args: Vec<String>,
    /// `$?`.
    pub status: i32,
    /// `$$`.
    pub pid: u32,
    /// `$!`.
    pub background: u32,
}

impl Variables {
    /// A value; empty if there is none.
    #[must_use]
    pub fn get(&self, name: &str) -> String {
        let args = self.args.get(1..).unwrap_or_default();
        match name {
            "?" => self.status.to_string(),
            "$" => self.pid.to_string(),
            "!" => self.background.to_string(),
            "#" => args.len().to_string(),
            "*" | "@" => args.join(" "),
            _ => match name.parse::<usize>() {
                Ok(index) => self.args.get(index).cloned().unwrap_or_default(),
                Err(_) => self.named.get(name).cloned().unwrap_or_default(),
            },
        }
    }
}

/// A text so that the shell reads it as one word.
#[must_use]
pub fn quote(text: &str) -> String {
    let is_safe = |sign: char| sign.is_ascii_alphanumeric() || "_-./:,+@%".contains(sign);
    match !text.is_empty() && text.chars().all(is_safe) {
        true => text.to_string(),
        false => ["'", &text.replace('\'', "'\\''"), "'"].concat(),
    }
}
