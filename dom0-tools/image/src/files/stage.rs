//! Reading what a verb will want, before the toolstack is taken.

use super::read;
use crate::services::stack;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use zl_cli::Command;
use zl_toolstack::staged::{is_path, stage_for_create, Contents, Staged};

/// The files of the disk that a command wants. What cannot be read is left out: the verb then says
/// that it is not there.
///
/// `sent` are the files that came with the command; they come before those of the same name here.
pub fn for_command(command: &Command, sent: Vec<(String, Contents)>) -> Staged {
    let Some((file, overrides)) = created_from(command) else { return Staged::default() };
    let text = match sent.iter().find(|(name, _)| name == file) {
        Some((_, contents)) => Some(contents.to_vec()),
        None if is_path(file) => None,
        None => match stack().archive().get(file) {
            Some(text) => Some(text.to_vec()),
            None => return Staged::default(),
        },
    };
    let is_sent = |path: &str| sent.iter().any(|(name, _)| name == path);
    let from_disk = |path: &str| if is_sent(path) { None } else { read(path).ok() };
    let mut staged = stage_for_create(file, overrides, text.as_deref(), from_disk);
    for (name, contents) in sent {
        staged.add_only_copy(&name, contents);
    }
    staged
}

/// The configuration a command creates from, and what overrides it.
fn created_from(command: &Command) -> Option<(&str, &[String])> {
    match command {
        Command::Create { file, overrides, .. } => Some((file, overrides)),
        Command::Json { command: Ok(inner), .. } => created_from(inner),
        _ => None,
    }
}

/// The files of the disk that starting domains again may want.
pub fn for_restart() -> Staged {
    let wanted: Vec<String> = stack().wanted_for_restart();
    let mut staged = Staged::default();
    for path in wanted {
        if let Ok(contents) = read(&path) {
            staged.add(&path, Arc::new(contents));
        }
    }
    staged
}
