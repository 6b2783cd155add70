//! The language, tried on a world that is a list of paths.

mod expansion;
mod language;
mod patterns;

use std::collections::BTreeSet;

use super::*;

/// Files by their paths, and a shell whose commands write what they are called.
pub struct Fake {
    pub variables: Variables,
    pub paths: BTreeSet<String>,
}

impl World for Fake {
    fn variables(&self) -> &Variables {
        &self.variables
    }

    /// `say` writes its arguments and two line ends; `much` more than is allowed.
    fn output(&mut self, script: &Rc<Script>) -> Expanded<String> {
        let mut written = String::new();
        for chain in &script.0 {
            let [Command::Simple(simple)] = chain.first.commands.as_slice() else { continue };
            let mut args = Vec::new();
            for word in &simple.words {
                args.extend(fields(word, self)?);
            }
            if args[0] == "much" {
                return Err(format!("$(much): more than {MAX_BYTES} bytes"));
            }
            written.push_str(&args[1..].join(" "));
            written.push_str("\n\n");
        }
        Ok(written)
    }

    fn names(&mut self, folder: &str) -> Vec<String> {
        let prefix = match folder {
            "." | "./" => String::new(),
            other => format!("{}/", other.trim_end_matches('/')),
        };
        let names = self.paths.iter().filter_map(|path| path.strip_prefix(prefix.as_str()));
        let names: BTreeSet<&str> = names
            .map(|rest| rest.split('/').next().unwrap())
            .filter(|name| !name.is_empty())
            .collect();
        names.into_iter().map(String::from).collect()
    }

    fn exists(&mut self, path: &str) -> bool {
        let path = path.trim_start_matches("./");
        let folder = format!("{}/", path.trim_end_matches('/'));
        self.paths.contains(path) || self.paths.iter().any(|other| other.starts_with(&folder))
    }
}

pub fn fake() -> Fake {
    let mut variables = Variables::default();
    variables.named.set("A", "one  two".into());
    variables.named.set("N", "7".into());
    variables.named.set("STAR", "*.rs".into());
    variables.args = ["script", "x y", "z"].map(String::from).to_vec();
    variables.status = 3;
    let paths = [
        "a.rs",
        "b.rs",
        ".hidden.rs",
        "c.txt",
        "d/e.rs",
        "d/f.txt",
        "g/h/i.rs",
        "g/j.rs",
        "a b.md",
    ];
    Fake { variables, paths: paths.map(String::from).into() }
}

/// The arguments of a script of one simple command.
pub fn args(text: &str) -> Vec<String> {
    let script = parse(text).unwrap();
    let [chain] = script.0.as_slice() else { panic!("{script:?}") };
    let [Command::Simple(simple)] = chain.first.commands.as_slice() else { panic!("{chain:?}") };
    let mut world = fake();
    simple.words.iter().flat_map(|word| fields(word, &mut world).unwrap()).collect()
}

/// Why the last word of a command cannot be expanded.
pub fn trouble(text: &str) -> String {
    let script = parse(text).unwrap();
    let Command::Simple(simple) = &script.0[0].first.commands[0] else { panic!("{script:?}") };
    fields(simple.words.last().unwrap(), &mut fake()).unwrap_err()
}

pub fn why(text: &str) -> String {
    parse(text).unwrap_err().to_string()
}
