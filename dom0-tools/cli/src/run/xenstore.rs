//! Carries the verbs about the store out.
//!
//! Text is what Xen's tools print. Values and names may come from guests: what is no plain character is
//! shown escaped.

use super::{After, Session};
use crate::command::Output;
use crate::json::VERSION;
use crate::xenstore::StoreCommand;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;
use hypercall_abi::Errno;
use pv_xenbus::path::{absolute, child, home, parent, ROOT};
use pv_xenbus::{retry, Perm, Store, Tx};
use serde::Serialize;
use zl_toolstack::client::Hypervisor;
use zl_toolstack::config::shown;
use zl_toolstack::{Status, ToolError};

/// A node, as `ls` shows it.
#[derive(Serialize)]
struct Node {
    path: String,
    value: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    perms: Option<Vec<String>>,
    #[serde(skip)]
    depth: usize,
}

#[derive(Serialize)]
struct Document<'a, T> {
    v: u32,
    verb: &'a str,
    #[serde(flatten)]
    body: T,
}

#[derive(Serialize)]
struct Nodes {
    nodes: Vec<Node>,
}

#[derive(Serialize)]
struct Lists {
    lists: Vec<Names>,
}

#[derive(Serialize)]
struct Names {
    path: String,
    names: Vec<String>,
}

#[derive(Serialize)]
struct Exists {
    exists: bool,
}

impl<H: Hypervisor + Clone> Session<'_, '_, H> {
    pub(super) fn xenstore(
        &mut self,
        command: &StoreCommand,
        output: Output,
    ) -> Result<After, ToolError> {
        let store = self.stack.store();
        match command {
            StoreCommand::Ls { path, full, perms } => {
                self.store_ls(store, path, *full, *perms, output)?;
            }
            StoreCommand::Read { paths, prefix } => self.store_read(store, paths, *prefix, output),
            StoreCommand::Write(pairs) => {
                let write = |tx| {
                    pairs.iter().try_for_each(|(path, value)| {
                        at(path, store.write(tx, path, value.as_bytes()))
                    })
                };
                in_one(store, write)?;
            }
            StoreCommand::List { paths, prefix } => self.store_list(store, paths, *prefix, output),
            StoreCommand::Rm { paths, tidy } => {
                in_one(store, |tx| paths.iter().try_for_each(|path| rm(store, tx, path, *tidy)))?;
            }
            StoreCommand::Exists(paths) => self.store_exists(store, paths, output)?,
            StoreCommand::Watch { paths, count } => {
                paths.iter().try_for_each(|path| check_watched(path))?;
                return Ok(After::Watch { paths: paths.clone(), count: *count });
            }
            StoreCommand::Chmod { path, perms, recursive } => {
                in_one(store, |tx| chmod(store, tx, path, perms, *recursive))?;
            }
        }
        Ok(After::Nothing)
    }

    fn store_ls(
        &mut self,
        store: &dyn Store,
        path: &str,
        full: bool,
        perms: bool,
        output: Output,
    ) -> Result<(), ToolError> {
        let nodes = tree(store, path, perms)?;
        if output == Output::Json {
            self.store_document("xenstore-ls", Nodes { nodes });
            return Ok(());
        }
        for node in nodes {
            let name = match full {
                true => node.path.clone(),
                false => {
                    let name = node.path.rsplit('/').next().unwrap_or("");
                    format!("{:width$}{name}", "", width = node.depth)
                }
            };
            let perms =
                node.perms.map_or(String::new(), |perms| format!("  ({})", perms.join(",")));
            self.line(&format!("{name} = \"{}\"{perms}", node.value));
        }
        Ok(())
    }

    fn store_read(&mut self, store: &dyn Store, paths: &[String], prefix: bool, output: Output) {
        let mut nodes = Vec::new();
        for path in paths {
            match at(path, store.read(Tx::NONE, path)) {
                Ok(value) if output == Output::Json => {
                    let value = String::from_utf8_lossy(&value).into_owned();
                    nodes.push(Node { path: path.clone(), value, perms: None, depth: 0 });
                }
                Ok(value) if prefix => self.line(&format!("{path}: {}", escaped(&value))),
                Ok(value) => self.line(&escaped(&value)),
                Err(error) => self.complain(&error.into()),
            }
        }
        if !nodes.is_empty() {
            self.store_document("xenstore-read", Nodes { nodes });
        }
    }

    fn store_list(&mut self, store: &dyn Store, paths: &[String], prefix: bool, output: Output) {
        let mut lists = Vec::new();
        for path in paths {
            match at(path, store.list(Tx::NONE, path)) {
                Ok(names) if output == Output::Json => {
                    lists.push(Names { path: path.clone(), names });
                }
                Ok(names) => {
                    for name in names {
                        self.line(&if prefix { child(path, &name) } else { name });
                    }
                }
                Err(error) => self.complain(&error.into()),
            }
        }
        if !lists.is_empty() {
            self.store_document("xenstore-list", Lists { lists });
        }
    }

    fn store_exists(
        &mut self,
        store: &dyn Store,
        paths: &[String],
        output: Output,
    ) -> Result<(), ToolError> {
        let mut exists = true;
        for path in paths {
            match store.read(Tx::NONE, path) {
                Ok(_) => {}
                Err(Errno::ENOENT) => exists = false,
                Err(errno) => return Err(Failed { path: path.clone(), errno }.into()),
            }
        }
        if output == Output::Json {
            self.store_document("xenstore-exists", Exists { exists });
        }
        if !exists {
            // An answer, not a failure: there is no line about it.
            self.findings.status = Status::Failed;
        }
        Ok(())
    }

    fn store_document<T: Serialize>(&mut self, verb: &str, body: T) {
        let document = Document { v: VERSION, verb, body };
        // Our types always have a text.
        let text = serde_json::to_string_pretty(&document).unwrap_or_default();
        self.findings.is_document = true;
        self.line(&text);
    }
}

/// What failed, and where.
struct Failed {
    path: String,
    errno: Errno,
}

impl From<Failed> for ToolError {
    fn from(failed: Failed) -> Self {
        let advice = match failed.errno {
            Errno::ENOENT => "no such path; see 'xenstore-ls'",
            Errno::EINVAL => "paths have letters, digits and -/_@: and no '/' at the end",
            Errno::ENOSPC => "the value is too long, or there are too many permissions",
            _ => "try again",
        };
        let (path, errno) = (shown(&failed.path), failed.errno.name());
        Self::failed(format!("xenstore: {path}: {errno}; {advice}"))
    }
}

fn at<T>(path: &str, result: Result<T, Errno>) -> Result<T, Failed> {
    result.map_err(|errno| Failed { path: String::from(path), errno })
}

/// All of it or nothing.
fn in_one(
    store: &dyn Store,
    mut work: impl FnMut(Tx) -> Result<(), Failed>,
) -> Result<(), ToolError> {
    let mut first = None;
    let done = retry(store, |tx| {
        work(tx).map_err(|failed| {
            let errno = failed.errno;
            first = Some(failed);
            errno
        })
    });
    done.map_err(|errno| first.unwrap_or(Failed { path: String::from(ROOT), errno }).into())
}

fn rm(store: &dyn Store, tx: Tx, path: &str, tidy: bool) -> Result<(), Failed> {
    at(path, store.read(tx, path).and_then(|_| store.rm(tx, path)))?;
    let mut above = parent(path);
    while let Some(path) = above.filter(|path| tidy && *path != ROOT) {
        let is_bare = at(path, store.read(tx, path))?.is_empty()
            && at(path, store.list(tx, path))?.is_empty();
        if !is_bare {
            break;
        }
        at(path, store.rm(tx, path))?;
        above = parent(path);
    }
    Ok(())
}

fn chmod(
    store: &dyn Store,
    tx: Tx,
    path: &str,
    perms: &[Perm],
    recursive: bool,
) -> Result<(), Failed> {
    let mut todo = vec![String::from(path)];
    while let Some(path) = todo.pop() {
        at(&path, store.set_perms(tx, &path, perms))?;
        if recursive {
            let names = at(&path, store.list(tx, &path))?;
            todo.extend(names.iter().map(|name| child(&path, name)));
        }
    }
    Ok(())
}

/// Everything below a path, each node before what is below it. One that goes meanwhile is left out.
fn tree(store: &dyn Store, top: &str, with_perms: bool) -> Result<Vec<Node>, ToolError> {
    let mut nodes = Vec::new();
    let below = |path: &str, depth| -> Result<Vec<(String, usize)>, Errno> {
        let names = store.list(Tx::NONE, path)?;
        Ok(names.iter().rev().map(|name| (child(path, name), depth)).collect())
    };
    let mut todo = at(top, below(top, 0))?;
    while let Some((path, depth)) = todo.pop() {
        let Ok(value) = store.read(Tx::NONE, &path) else { continue };
        let perms = match with_perms {
            true => Some(store.perms(Tx::NONE, &path).unwrap_or_default()),
            false => None,
        };
        let perms = perms.map(|perms| perms.iter().map(ToString::to_string).collect());
        todo.extend(below(&path, depth + 1).unwrap_or_default());
        nodes.push(Node { path, value: escaped(&value), perms, depth });
    }
    Ok(nodes)
}

/// Whether a path can be watched, before the terminal waits for it.
fn check_watched(path: &str) -> Result<(), ToolError> {
    let own = home(hypercall_abi::DomId::DOM0);
    let is_valid = pv_xenbus::path::is_valid_special(path) || absolute(&own, path).is_ok();
    match is_valid {
        true => Ok(()),
        false => Err(Failed { path: String::from(path), errno: Errno::EINVAL }.into()),
    }
}

/// A value on one line: what is no plain character as an escape, as Xen's tools do.
fn escaped(value: &[u8]) -> String {
    let mut text = String::new();
    for byte in value {
        match byte {
            b'\t' => text.push_str("\\t"),
            b'\n' => text.push_str("\\n"),
            b'\r' => text.push_str("\\r"),
            b'\\' => text.push_str("\\\\"),
            b' '..=b'~' => text.push(char::from(*byte)),
            0..=7 => text.push_str(&format!("\\{byte:03o}")),
            _ => text.push_str(&format!("\\x{byte:02x}")),
        }
    }
    text
}
