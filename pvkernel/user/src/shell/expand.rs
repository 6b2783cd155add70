//! From words to arguments: variables get their values, and blanks in those that are not quoted part words.

use alloc::collections::BTreeMap;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::{Part, Word};

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

/// The arguments a word becomes: none when it is only empty variables, many when a value has blanks.
#[must_use]
pub fn fields(word: &Word, variables: &Variables) -> Vec<String> {
    let (mut done, mut current) = (Vec::new(), None::<String>);
    for part in &word.0 {
        match part {
            Part::Plain(text) | Part::Quoted(text) => {
                current.get_or_insert_default().push_str(text);
            }
            Part::Variable { name, quoted: true } if name == "@" => {
                let args = variables.args.get(1..).unwrap_or_default();
                for (index, arg) in args.iter().enumerate() {
                    if index > 0 {
                        done.extend(current.take());
                    }
                    current.get_or_insert_default().push_str(arg);
                }
            }
            Part::Variable { name, quoted: true } => {
                current.get_or_insert_default().push_str(&variables.get(name));
            }
            Part::Variable { name, quoted: false } => {
                split(&variables.get(name), &mut current, &mut done);
            }
        }
    }
    done.extend(current);
    done
}

/// Adds a value whose blanks part words.
fn split(value: &str, current: &mut Option<String>, done: &mut Vec<String>) {
    for sign in value.chars() {
        match sign.is_ascii_whitespace() {
            true => done.extend(current.take()),
            false => current.get_or_insert_default().push(sign),
        }
    }
}

/// A word as one text, as names of files and values of variables are.
#[must_use]
pub fn single(word: &Word, variables: &Variables) -> String {
    let part = |part: &Part| match part {
        Part::Plain(text) | Part::Quoted(text) => text.clone(),
        Part::Variable { name, .. } => variables.get(name),
    };
    word.0.iter().map(part).collect()
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
