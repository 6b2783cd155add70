//! `zl __complete -- WORDS`: what a shell's completion asks.
//!
//! Verbs and options are known here; names of domains and of dom0's files come from the run, if there
//! is one. It is quiet about everything that does not work: a completion must not write into the
//! person's line.

use std::path::PathBuf;

use zl_cli::complete::{verb_candidates, Catalog, Which};
use zl_cli::scripts::FILES;
use zl_cli::verbs::{find, Operand};
use zl_client::message::{Reply, Request};

use crate::link::Link;
use crate::session::{read, Session};
use crate::{print as put, run_file};

/// Nobody's names: what is left are verbs and options.
struct Nobody;

impl Catalog for Nobody {
    fn domains(&self, _which: Which) -> Vec<String> {
        Vec::new()
    }

    fn files(&self) -> Vec<String> {
        Vec::new()
    }
}

/// Prints the candidates, one per line.
pub fn print(run: Option<PathBuf>, words: &[String]) {
    let words: Vec<&str> =
        words.iter().map(String::as_str).skip_while(|word| *word == "--").collect();
    let mut found = match asks_dom0(&words) {
        true => ask(run, &words).unwrap_or_else(|| verb_candidates(&words, &Nobody)),
        false => verb_candidates(&words, &Nobody),
    };
    if wants_files(&words) {
        found.push(FILES.to_string());
    }
    put(&found.iter().map(|word| format!("{word}\n")).collect::<String>());
}

/// Whether the answer depends on the run: verbs and options do not.
fn asks_dom0(words: &[&str]) -> bool {
    words.len() > 1 && words.last().is_none_or(|last| !last.starts_with('-'))
}

/// Whether files of the host fit at this place.
fn wants_files(words: &[&str]) -> bool {
    let (Some(verb), Some(last)) = (words.first(), words.last()) else { return false };
    let verb = find(verb).filter(|_| words.len() > 1 && !last.starts_with('-'));
    verb.is_some_and(|verb| matches!(verb.kind, Operand::Config | Operand::File))
}

fn ask(run: Option<PathBuf>, words: &[&str]) -> Option<Vec<String>> {
    let run = run_file::find(run.as_deref()).ok()?;
    let mut session = Session::new(Link::open(&run).ok()?);
    session.send(&Request::Complete { words: words.to_vec() }).ok()?;
    let payload = session.frame().ok()?;
    match read(&payload) {
        Ok(Reply::Candidates(words)) => Some(words.into_iter().map(String::from).collect()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_changes_is_asked() {
        assert!(!asks_dom0(&[]) && !asks_dom0(&["li"]) && !asks_dom0(&["list", "--l"]));
        assert!(asks_dom0(&["destroy", ""]));
        assert!(wants_files(&["create", "we"]) && wants_files(&["cp", ""]));
        assert!(!wants_files(&["create", "-"]) && !wants_files(&["create"]));
        assert!(!wants_files(&["destroy", ""]));
    }
}
