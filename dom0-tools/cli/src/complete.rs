//! What the tab key finds.
//!
//! Called by the line editor with the line up to the cursor. The names of domains and files come
//! from a [`Catalog`], so that the completion always fits the moment.

use crate::command::TOPICS;
use crate::help::BUILTINS;
use crate::scripts::SHELLS;
use crate::verbs::{find, Operand, Verb, ANY_OUTPUT, VERBS};
use crate::xenstore::PREFIX;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use hypercall_abi::domctl::Dominf;
use zl_toolstack::config::keys::USED;
use zl_toolstack::devices::Kind;

/// Which domains are meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// All.
    Any,
    /// Those that are paused.
    Paused,
    /// Those that are not paused and have not ended.
    Running,
    /// Those that have not ended.
    Live,
}

impl Which {
    /// Whether a domain with these flags is meant.
    #[must_use]
    pub fn holds(self, flags: Dominf) -> bool {
        let (paused, ended) = (flags.contains(Dominf::PAUSED), flags.contains(Dominf::SHUTDOWN));
        match self {
            Self::Any => true,
            Self::Paused => paused,
            Self::Running => !paused && !ended,
            Self::Live => !ended,
        }
    }
}

/// Names that change.
pub trait Catalog {
    /// Names of domains in some state.
    fn domains(&self, which: Which) -> Vec<String>;
    /// Names of files of the boot archive.
    fn files(&self) -> Vec<String>;
    /// Paths of the store right below this one. A catalog that has no store knows none.
    fn store_paths(&self, _above: &str) -> Vec<String> {
        Vec::new()
    }
    /// Names of the devices of a domain.
    fn devices(&self, _domain: &str, _kind: Kind) -> Vec<String> {
        Vec::new()
    }
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
        None => first_words(),
        Some((&("zl" | "xl"), rest)) => verb_words(rest, prefix, catalog),
        Some((&"cat", _)) => catalog.files(),
        Some((name, _)) if name.starts_with(PREFIX) => verb_words(&words, prefix, catalog),
        Some((&"help", _)) => verb_names(),
        Some(_) => Vec::new(),
    };
    let mut found: Vec<String> = all.into_iter().filter(|word| word.starts_with(prefix)).collect();
    found.sort();
    found.dedup();
    found
}

/// The commands of the shell, and the verbs that are words of their own there.
fn first_words() -> Vec<String> {
    let own = VERBS.iter().map(|verb| verb.name).filter(|name| name.starts_with(PREFIX));
    BUILTINS.iter().map(|(name, _)| *name).chain(own).map(ToString::to_string).collect()
}

fn store_paths(prefix: &str, catalog: &dyn Catalog) -> Vec<String> {
    match prefix.rsplit_once('/') {
        Some(("", _)) | None => catalog.store_paths("/"),
        Some((above, _)) => catalog.store_paths(above),
    }
}

fn verb_names() -> Vec<String> {
    VERBS.iter().map(|verb| verb.name.to_string()).collect()
}

/// What the last of the words behind `zl` could become, sorted.
#[must_use]
pub fn verb_candidates(words: &[&str], catalog: &dyn Catalog) -> Vec<String> {
    let (prefix, words) = words.split_last().unwrap_or((&"", &[]));
    let mut found = verb_words(words, prefix, catalog);
    found.retain(|word| word.starts_with(prefix));
    found.sort();
    found.dedup();
    found
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
        Operand::Domain => catalog.domains(Which::Any),
        Operand::PausedDomain => catalog.domains(Which::Paused),
        Operand::RunningDomain => catalog.domains(Which::Running),
        Operand::LiveDomain => catalog.domains(Which::Live),
        Operand::Disk => device_words(words, Kind::Vbd, catalog),
        Operand::Card => device_words(words, Kind::Vif, catalog),
        Operand::File => catalog.files(),
        Operand::Verb => verb_names(),
        Operand::Counts => {
            ["counts"].iter().chain(TOPICS).map(|topic| (*topic).to_string()).collect()
        }
        Operand::ShellName => SHELLS.iter().map(ToString::to_string).collect(),
        Operand::StorePath => store_paths(prefix, catalog),
        Operand::Config => config_words(words, catalog),
    }
}

fn options(verb: &Verb) -> Vec<String> {
    let flags = || verb.flags.iter().chain([&ANY_OUTPUT]);
    let long = flags().map(|flag| format!("--{}", flag.long));
    long.chain(flags().map(|flag| format!("-{}", flag.short))).collect()
}

/// A domain first, then its devices.
fn device_words(words: &[&str], kind: Kind, catalog: &dyn Catalog) -> Vec<String> {
    match words.iter().skip(1).find(|word| !word.starts_with('-')) {
        Some(domain) => catalog.devices(domain, kind),
        None => catalog.domains(Which::Live),
    }
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
        fn domains(&self, which: Which) -> Vec<String> {
            let names = match which {
                Which::Any => &["kept", "ticker", "web"][..],
                Which::Live => &["ticker", "web"],
                Which::Paused => &["web"],
                Which::Running => &["ticker"],
            };
            names.iter().map(ToString::to_string).collect()
        }

        fn files(&self) -> Vec<String> {
            ["hello", "hello.cfg", "ticker.cfg"].map(String::from).into()
        }

        fn store_paths(&self, above: &str) -> Vec<String> {
            let names: &[&str] = match above {
                "/" => &["/local", "/vm"],
                "/local/domain" => &["/local/domain/0", "/local/domain/1"],
                _ => &[],
            };
            names.iter().map(ToString::to_string).collect()
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
        assert_eq!(found("zl destroy "), ["kept", "ticker", "web"]);
        assert_eq!(found("zl unpause "), ["web"]);
        assert_eq!(found("zl pause "), ["ticker"]);
        assert_eq!(found("zl completion "), ["bash", "fish", "zsh"]);
        assert_eq!(found("zl destroy --o"), ["--output"]);
        assert_eq!(found("zl create "), ["hello.cfg", "ticker.cfg"]);
        assert_eq!(found("zl create -c he"), ["hello.cfg"]);
        assert_eq!(found("zl create hello.cfg mem"), ["memory="]);
        assert_eq!(found("cat h"), ["hello", "hello.cfg"]);
        assert_eq!(found("zl list --l"), ["--long"]);
        assert_eq!(found("zl list; zl destroy w"), ["web"]);
        assert_eq!(found("zl xenstore-ls /l"), ["/local"]);
        assert_eq!(found("xenstore-rm "), ["/local", "/vm"]);
        assert_eq!(found("xenstore-read /local/domain/"), ["/local/domain/0", "/local/domain/1"]);
        assert_eq!(found("xenstore-ch"), ["xenstore-chmod"]);
        assert_eq!(found("zl debug c"), ["counts"]);
        assert!(found("zl nonsense x").is_empty());
        assert!(found("").contains(&"zl".into()));
    }

    #[test]
    fn the_words_of_another_shell_are_completed_alike() {
        assert_eq!(verb_candidates(&["vc"], &Fixed), ["vcpu-list"]);
        assert_eq!(verb_candidates(&["unpause", ""], &Fixed), ["web"]);
        assert_eq!(verb_candidates(&["list", "--l"], &Fixed), ["--long"]);
        assert!(verb_candidates(&[], &Fixed).contains(&"create".into()));
    }

    #[test]
    fn states_are_told_apart() {
        let flags = [Dominf::empty(), Dominf::PAUSED, Dominf::SHUTDOWN];
        let holds = |which: Which| flags.map(|flags| which.holds(flags));
        assert_eq!(holds(Which::Any), [true, true, true]);
        assert_eq!(holds(Which::Paused), [false, true, false]);
        assert_eq!(holds(Which::Running), [true, false, false]);
        assert_eq!(holds(Which::Live), [true, true, false]);
    }

    #[test]
    fn common_prefixes_are_the_longest() {
        let words = |list: &[&str]| list.iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(common_prefix(&words(&["hello", "hello.cfg"])), "hello");
        assert_eq!(common_prefix(&words(&["a", "b"])), "");
        assert_eq!(common_prefix(&[]), "");
    }
}
