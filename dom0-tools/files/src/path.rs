//! Paths: absolute, of names, without surprises.

use crate::error::{FileError, What};

/// Longest name in a folder, as the format has it.
const LONGEST_NAME: usize = 255;
/// Most folders below each other.
const DEEPEST: usize = 64;

/// The names of a path, from the root on.
pub(crate) fn names(path: &str) -> Result<impl Iterator<Item = &str> + Clone, FileError> {
    let bad = || FileError::new(path, What::BadPath);
    let rest = path.strip_prefix('/').ok_or_else(bad)?;
    let names = rest.split('/').filter(|name| !name.is_empty());
    let is_good = |name: &str| {
        name != "." && name != ".." && name.len() <= LONGEST_NAME && !name.contains('\0')
    };
    match names.clone().all(is_good) && names.clone().count() <= DEEPEST {
        true => Ok(names),
        false => Err(bad()),
    }
}

/// The folder and the last name of a path.
pub(crate) fn split(path: &str) -> Result<(&str, &str), FileError> {
    names(path).map(drop)?;
    let trimmed = path.trim_end_matches('/');
    match trimmed.rsplit_once('/') {
        Some(("", name)) if !name.is_empty() => Ok(("/", name)),
        Some((folder, name)) if !name.is_empty() => Ok((folder, name)),
        _ => Err(FileError::new(path, What::BadPath)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    #[test]
    fn a_path_is_its_names() {
        let all: Vec<&str> = names("/a//b/c/").unwrap().collect();
        assert_eq!(all, ["a", "b", "c"]);
        assert_eq!(names("/").unwrap().count(), 0);
        assert_eq!(split("/a/b").unwrap(), ("/a", "b"));
        assert_eq!(split("/a").unwrap(), ("/", "a"));
        assert_eq!(split("/a/b//").unwrap(), ("/a", "b"));
    }

    #[test]
    fn surprises_are_refused() {
        for path in ["", "a", "/..", "/a/./b", "/a\0b", "a/b"] {
            assert!(names(path).is_err(), "{path}");
        }
        assert!(split("/").is_err());
        assert!(names(&alloc::format!("/{}", "x".repeat(256))).is_err());
        assert!(names(&"/x".repeat(65)).is_err());
    }
}
