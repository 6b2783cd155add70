//! What the tab key finds.
//!
//! Called by the line editor with the line up to the cursor. The names of domains and files come
//! from a [`Catalog`], so that the completion always fits the moment.

use crate::help::BUILTINS;
use crate::verbs::{find, Operand, Verb, VERBS};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use zl_toolstack::config::keys::USED;

/// Names that change.
pub trait Catalog {
    /// Names of domains; only of those that are paused if asked.
    fn domains(&self, only_paused: bool) -> Vec<String>;
    /// Names of files of the boot archive.
    fn files(&self) -> Vec<String>;
}

/// Everything the word before the cursor could become, sorted.
#[must_use]
pub fn candidates(line: &str, catalog: &dyn Catalog) -> Vec<String> {
    let command = line.rsplit(';').next().unwrap_or(line);
    let mut words: Vec<&str> = command.split_whitespace().collect();
    let prefix = match command.ends_with(char::is_whitespace) || command.is_empty() {
        true => "",
        false => words.pop().unwrap_or(""),
    };
    let all = match words.split_first() {
        None => BUILTINS.iter().map(|(name, _)| name.to_string()).collect(),
        Some((&("zl" | "xl"), rest)) => verb_words(rest, prefix, catalog),
        Some((&"cat", _)) => catalog.files(),
        Some((&"help", _)) => verb_names(),
        Some(_) => Vec::new(),
    };
    let mut found: Vec<String> = all.into_iter().filter(|word| word.starts_with(prefix)).collect();
    found.sort();
    found.dedup();
    found
}

fn verb_names() -> Vec<String> {
    VERBS.iter().map(|verb| verb.name.to_string()).collect()
}

fn verb_words(words: &[&str], prefix: &str, catalog: &dyn Catalog) -> Vec<String> {
    let Some(verb) = words.first().and_then(|name| find(name)) else {
        return match words.is_empty() {
            true => verb_names(),
            false => Vec::new(),
        };
    };
    if prefix.starts_with('-') {
        return options(verb);
    }
    match verb.kind {
        Operand::Nothing => Vec::new(),
        Operand::Domain => catalog.domains(false),
        Operand::PausedDomain => catalog.domains(true),
        Operand::File => catalog.files(),
        Operand::Verb => verb_names(),
        Operand::Counts => Vec::from(["counts".to_string()]),
        Operand::Config => config_words(words, catalog),
    }
}

fn options(verb: &Verb) -> Vec<String> {
    let long = verb.flags.iter().map(|flag| format!("--{}", flag.long));
    long.chain(verb.flags.iter().map(|flag| format!("-{}", flag.short))).collect()
}

/// A configuration first, then keys.
fn config_words(words: &[&str], catalog: &dyn Catalog) -> Vec<String> {
    let has_file = words.iter().skip(1).any(|word| !word.starts_with('-') && !word.contains('='));
    match has_file {
        true => USED.iter().map(|key| format!("{key}=")).collect(),
        false => catalog.files().into_iter().filter(|file| file.ends_with(".cfg")).collect(),
    }
}

/// The longest beginning all candidates share.
#[must_use]
pub fn common_prefix(candidates: &[String]) -> &str {
    let Some((first, rest)) = candidates.split_first() else { return "" };
    let mut len = first.len();
    for other in rest {
        let shared = first.bytes().zip(other.bytes()).take_while(|(a, b)| a == b).count();
        len = len.min(shared);
    }
    while !first.is_char_boundary(len) {
        len -= 1;
    }
    first.get(..len).unwrap_or("")
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Fixed;

    impl Catalog for Fixed {
        fn domains(&self, only_paused: bool) -> Vec<String> {
            let names = if only_paused { &["web"][..] } else { &["ticker", "web"][..] };
            names.iter().map(ToString::to_string).collect()
        }

        fn files(&self) -> Vec<String> {
            ["hello", "hello.cfg", "ticker.cfg"].map(String::from).into()
        }
    }

    fn found(line: &str) -> Vec<String> {
        candidates(line, &Fixed)
    }

    #[test]
    fn each_place_offers_what_fits_there() {
        assert_eq!(found("hi"), ["history"]);
        assert_eq!(found("zl vc"), ["vcpu-list"]);
        assert_eq!(found("zl console "), ["ticker", "web"]);
        assert_eq!(found("zl unpause "), ["web"]);
        assert_eq!(found("zl create "), ["hello.cfg", "ticker.cfg"]);
        assert_eq!(found("zl create -c he"), ["hello.cfg"]);
        assert_eq!(found("zl create hello.cfg mem"), ["memory="]);
        assert_eq!(found("cat h"), ["hello", "hello.cfg"]);
        assert_eq!(found("zl list --l"), ["--long"]);
        assert_eq!(found("zl list; zl destroy w"), ["web"]);
        assert_eq!(found("zl debug "), ["counts"]);
        assert!(found("zl nonsense x").is_empty());
        assert!(found("").contains(&"zl".into()));
    }

    #[test]
    fn common_prefixes_are_the_longest() {
        let words = |list: &[&str]| list.iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(common_prefix(&words(&["hello", "hello.cfg"])), "hello");
        assert_eq!(common_prefix(&words(&["a", "b"])), "");
        assert_eq!(common_prefix(&[]), "");
    }
}
