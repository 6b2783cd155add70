//! From a pattern to the paths it fits.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use super::expand::{Expanded, World};
use super::Pattern;

/// Paths that a word becomes, and that are looked at at a time.
const MAX_PATHS: usize = 4096;

/// Whether a pattern is more than a text.
pub(super) fn is_wild(pattern: &str) -> bool {
    let mut signs = pattern.chars();
    while let Some(sign) = signs.next() {
        match sign {
            '*' | '?' | '[' => return true,
            '\\' => drop(signs.next()),
            _ => {}
        }
    }
    false
}

/// The text of a pattern in which nothing but `\` means anything.
pub(super) fn text_of(pattern: &str) -> String {
    let (mut text, mut signs) = (String::with_capacity(pattern.len()), pattern.chars());
    while let Some(sign) = signs.next() {
        text.push(if sign == '\\' { signs.next().unwrap_or(sign) } else { sign });
    }
    text
}

/// The paths a pattern fits, sorted; none if there is none. A `*` fits no `/`, and no `.` at the beginning
/// of a name.
pub(super) fn paths(pattern: &str, world: &mut impl World) -> Expanded<Vec<String>> {
    let mut found = alloc::vec![String::new()];
    for part in pattern.split_inclusive('/') {
        let (name, slash) = part.strip_suffix('/').map_or((part, ""), |name| (name, "/"));
        if !is_wild(name) {
            let text = text_of(name) + slash;
            found.iter_mut().for_each(|path| path.push_str(&text));
            continue;
        }
        let (wanted, folders) = (Pattern::new(name), core::mem::take(&mut found));
        for folder in folders {
            let names = world.names(if folder.is_empty() { "." } else { &folder });
            let hides = |name: &str| name.starts_with('.') && !wanted.begins_with('.');
            let fitting = names.iter().filter(|name| !hides(name) && wanted.fits(name));
            found.extend(fitting.map(|name| [&folder, name.as_str(), slash].concat()));
            if found.len() > MAX_PATHS {
                return Err(format!("{}: more than {MAX_PATHS} files", text_of(pattern)));
            }
        }
    }
    if !ends_wild(pattern) {
        found.retain(|path| world.exists(path));
    }
    found.sort_unstable();
    Ok(found)
}

/// All paths come from names that were seen.
fn ends_wild(pattern: &str) -> bool {
    pattern.rsplit('/').next().is_some_and(is_wild)
}
