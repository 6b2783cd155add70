//! The verbs about the store: their table and what their words mean.
//!
//! They are `zl xenstore-ls` and so on; in dom0's shell also words of their own, as Xen's tools are
//! called. `run::xenstore` carries them out.

use crate::args::{wrong, Args};
use crate::verbs::{flag, valued, verb, Operand, Verb, MANY};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use pv_xenbus::wire::perm_of;
use pv_xenbus::Perm;
use zl_toolstack::config::shown;
use zl_toolstack::ToolError;

/// What all names of these verbs begin with.
pub const PREFIX: &str = "xenstore-";

/// `xenstore-ls`.
pub const LS: Verb = verb(
    "xenstore-ls",
    "[PATH]",
    Operand::StorePath,
    (0, 1),
    &[flag('f', "full", "whole paths"), flag('p', "perms", "also who may do what")],
    "show the store, or what is below a path",
    "Permissions: the first letter and number are the owner and what all others may do, the rest \
     what single domains may do: n nothing, r read, w write, b both.",
);
/// `xenstore-read`.
pub const READ: Verb = verb(
    "xenstore-read",
    "PATH ...",
    Operand::StorePath,
    (1, MANY),
    &[flag('p', "prefix", "the path before each value")],
    "print values of the store",
    "",
);
/// `xenstore-write`.
pub const WRITE: Verb = verb(
    "xenstore-write",
    "PATH VALUE ...",
    Operand::StorePath,
    (2, MANY),
    &[],
    "set values in the store, all or none",
    "",
);
/// `xenstore-list`.
pub const LIST: Verb = verb(
    "xenstore-list",
    "PATH ...",
    Operand::StorePath,
    (1, MANY),
    &[flag('p', "prefix", "whole paths")],
    "list names below paths of the store",
    "",
);
/// `xenstore-rm`.
pub const RM: Verb = verb(
    "xenstore-rm",
    "PATH ...",
    Operand::StorePath,
    (1, MANY),
    &[flag('t', "tidy", "also parents that are left without value and children")],
    "remove paths and all below them, all or none",
    "",
);
/// `xenstore-exists`.
pub const EXISTS: Verb = verb(
    "xenstore-exists",
    "PATH ...",
    Operand::StorePath,
    (1, MANY),
    &[],
    "whether all of these paths exist: status 0 or 1",
    "",
);
/// `xenstore-watch`.
pub const WATCH: Verb = verb(
    "xenstore-watch",
    "PATH ...",
    Operand::StorePath,
    (1, MANY),
    &[valued('n', "count", "N", "end after N events")],
    "print what changes at or below paths, until ^C",
    "The first event of each path comes at once. @introduceDomain and @releaseDomain can be watched, too.",
);
/// `xenstore-chmod`.
pub const CHMOD: Verb = verb(
    "xenstore-chmod",
    "PATH PERM ...",
    Operand::StorePath,
    (2, MANY),
    &[flag('r', "recursive", "also all below it")],
    "set who may do what with a path",
    "PERM is n, r, w or b and a domain's number, as b3. The first names the owner and what all others \
     may do.",
);

/// One of these verbs with its words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreCommand {
    /// Show a tree.
    Ls {
        /// From where.
        path: String,
        /// Whole paths.
        full: bool,
        /// Permissions as well.
        perms: bool,
    },
    /// Print values.
    Read {
        /// Of which paths.
        paths: Vec<String>,
        /// The paths as well.
        prefix: bool,
    },
    /// Set values.
    Write(Vec<(String, String)>),
    /// Names below.
    List {
        /// Below which paths.
        paths: Vec<String>,
        /// Whole paths.
        prefix: bool,
    },
    /// Remove.
    Rm {
        /// What.
        paths: Vec<String>,
        /// And empty parents.
        tidy: bool,
    },
    /// Whether they exist.
    Exists(Vec<String>),
    /// What changes.
    Watch {
        /// Where.
        paths: Vec<String>,
        /// End after so many events.
        count: Option<u64>,
    },
    /// Set permissions.
    Chmod {
        /// Of what.
        path: String,
        /// What.
        perms: Vec<Perm>,
        /// Also below.
        recursive: bool,
    },
}

impl StoreCommand {
    /// What the words of such a verb mean; `None` for other verbs.
    pub fn of(
        verb: &'static Verb,
        args: &Args,
        words: &[String],
    ) -> Option<Result<Self, ToolError>> {
        let paths = || words.to_vec();
        let first = || words.first().cloned();
        Some(Ok(match verb.name {
            "xenstore-ls" => {
                let path = first().unwrap_or_else(|| String::from("/"));
                Self::Ls { path, full: args.has('f'), perms: args.has('p') }
            }
            "xenstore-read" => Self::Read { paths: paths(), prefix: args.has('p') },
            "xenstore-write" => return Some(pairs(verb, words).map(Self::Write)),
            "xenstore-list" => Self::List { paths: paths(), prefix: args.has('p') },
            "xenstore-rm" => Self::Rm { paths: paths(), tidy: args.has('t') },
            "xenstore-exists" => Self::Exists(paths()),
            "xenstore-watch" => {
                return Some(count(verb, args).map(|count| Self::Watch { paths: paths(), count }));
            }
            "xenstore-chmod" => {
                let (path, recursive) = (first().unwrap_or_default(), args.has('r'));
                let perms = perms(verb, words.get(1..).unwrap_or(&[]));
                return Some(perms.map(|perms| Self::Chmod { path, perms, recursive }));
            }
            _ => return None,
        }))
    }
}

fn pairs(verb: &'static Verb, words: &[String]) -> Result<Vec<(String, String)>, ToolError> {
    let pairs = words.chunks(2).map(|pair| match pair {
        [path, value] => Ok((path.clone(), value.clone())),
        _ => Err(wrong(verb, "a path without value")),
    });
    pairs.collect()
}

fn count(verb: &'static Verb, args: &Args) -> Result<Option<u64>, ToolError> {
    let number = |text: &str| match text.parse() {
        Ok(number) if number > 0 => Ok(number),
        _ => Err(wrong(verb, &format!("'{}' is no number of events", shown(text)))),
    };
    args.value('n').map(number).transpose()
}

fn perms(verb: &'static Verb, words: &[String]) -> Result<Vec<Perm>, ToolError> {
    let perm = |word: &String| {
        perm_of(word.as_bytes()).map_err(|_| {
            let what = format!("'{}' is no permission, expected one as r3", shown(word));
            wrong(verb, &what)
        })
    };
    words.iter().map(perm).collect()
}
