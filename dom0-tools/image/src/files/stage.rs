//! Reading what a verb will want, before the toolstack is taken.

use super::read;
use crate::services::stack;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use zl_cli::Command;
use zl_toolstack::staged::{is_path, stage_for_create, Staged};

/// The files of the disk that a command wants. What cannot be read is left out: the verb then says
/// that it is not there.
pub fn for_command(command: &Command) -> Staged {
    let Command::Create { file, overrides, .. } = command else { return Staged::default() };
    let archived: Option<Vec<u8>> = match is_path(file) {
        true => None,
        false => match stack().archive().get(file) {
            Some(text) => Some(text.to_vec()),
            None => return Staged::default(),
        },
    };
    stage_for_create(file, overrides, archived.as_deref(), |path| read(path).ok())
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
