//! What `$` leads to, and how a text is quoted.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::Table;

/// What `$` leads to.
#[derive(Clone, Debug, Default)]
pub struct Variables {
    /// By name.
    pub named: Table<String>,
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

/// Whether a character is itself, wherever it stands.
#[must_use]
pub const fn is_safe(sign: char) -> bool {
    sign.is_ascii_alphanumeric()
        || matches!(sign, '_' | '-' | '.' | '/' | ':' | ',' | '+' | '@' | '%')
}

/// A text so that the shell reads it as one word.
#[must_use]
pub fn quote(text: &str) -> String {
    match !text.is_empty() && text.chars().all(is_safe) {
        true => text.to_string(),
        false => ["'", &text.replace('\'', "'\\''"), "'"].concat(),
    }
}
