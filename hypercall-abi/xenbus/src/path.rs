//! Paths of the store: which are valid, and how they lie to each other.
//!
//! Used by the server for every path a guest sends, and by clients that build paths. A path is
//! absolute (`/local/domain/3/device`), relative to the home of the domain that asks (`device`), or
//! one of the special names that can only be watched (`@releaseDomain`). Nothing here allocates
//! more than the path that comes out, which is at most [`ABS_PATH_MAX`] bytes long.

use alloc::format;
use alloc::string::String;
use hypercall_abi::io::xs_wire::{ABS_PATH_MAX, REL_PATH_MAX};
use hypercall_abi::{DomId, Errno};

/// The root.
pub const ROOT: &str = "/";
/// Fires when a domain was introduced.
pub const INTRODUCE_DOMAIN: &str = "@introduceDomain";
/// Fires when a domain died or was released.
pub const RELEASE_DOMAIN: &str = "@releaseDomain";
/// Above the homes of all domains.
pub const DOMAINS: &str = "/local/domain";

/// The home of a domain: what its relative paths are relative to.
#[must_use]
pub fn home(domain: DomId) -> String {
    format!("{DOMAINS}/{domain}")
}

/// Whether a name is special: not a node, can only be watched.
#[must_use]
pub fn is_special(path: &str) -> bool {
    path.starts_with('@')
}

/// The absolute path that a path means to somebody whose home is `home`. It is valid.
///
/// # Errors
/// `EINVAL` for characters outside the set, empty names, a slash at the end, and too much length.
pub fn absolute(home: &str, path: &str) -> Result<String, Errno> {
    let whole = match path.starts_with('/') {
        true => String::from(path),
        // Checked before it is copied: a payload is bounded, a path more so.
        false if path.len() > REL_PATH_MAX => return Err(Errno::EINVAL),
        false => format!("{home}/{path}"),
    };
    match is_valid(&whole) {
        true => Ok(whole),
        false => Err(Errno::EINVAL),
    }
}

/// Whether this is an absolute path as the store accepts it.
#[must_use]
pub fn is_valid(path: &str) -> bool {
    path == ROOT
        || (path.len() <= ABS_PATH_MAX
            && path.len() - home_len(path) <= REL_PATH_MAX
            && is_made_of_names(path))
}

/// Whether this is one name or more, each behind one slash. Looks at each byte once, since the store asks this
/// for every request.
fn is_made_of_names(path: &str) -> bool {
    let mut before = None;
    for byte in path.bytes() {
        let fits = match byte {
            b'/' => before != Some(b'/'),
            _ => before.is_some() && is_valid_byte(byte),
        };
        if !fits {
            return false;
        }
        before = Some(byte);
    }
    before.is_some_and(|last| last != b'/')
}

/// Whether this is a special name as the store accepts it.
#[must_use]
pub fn is_valid_special(path: &str) -> bool {
    is_special(path)
        && path.len() <= REL_PATH_MAX
        && path.bytes().all(|byte| byte == b'/' || is_valid_byte(byte))
}

/// Whether a name may have this in it.
fn is_valid_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'@' | b':')
}

/// Length of the beginning `/local/domain/N/`, which does not count for the limit of a path.
fn home_len(path: &str) -> usize {
    let Some(rest) = path.strip_prefix("/local/domain/") else { return 0 };
    match rest.find('/') {
        Some(at)
            if at > 0 && at <= 5 && rest.bytes().take(at).all(|byte| byte.is_ascii_digit()) =>
        {
            path.len() - rest.len() + at + 1
        }
        _ => 0,
    }
}

/// The path above; `None` for the root and for what is no absolute path.
#[must_use]
pub fn parent(path: &str) -> Option<&str> {
    if path == ROOT {
        return None;
    }
    match path.bytes().rposition(|byte| byte == b'/')? {
        0 => Some(ROOT),
        at => path.get(..at),
    }
}

/// The last name of a path; empty for the root.
#[must_use]
pub fn name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or("")
}

/// The path of a child.
#[must_use]
pub fn child(path: &str, name: &str) -> String {
    match path {
        ROOT => format!("/{name}"),
        _ => format!("{path}/{name}"),
    }
}

/// Whether `path` is `top` or lies below it. The special names lie below nothing but themselves.
#[must_use]
pub fn is_at_or_below(path: &str, top: &str) -> bool {
    if top == ROOT {
        return path.starts_with('/');
    }
    match path.strip_prefix(top) {
        Some(rest) => rest.is_empty() || (rest.starts_with('/') && !is_special(top)),
        None => false,
    }
}

/// What is left of `path` when somebody whose home is `home` asked with a relative one.
#[must_use]
pub fn relative<'a>(home: &str, path: &'a str) -> &'a str {
    match path.strip_prefix(home) {
        Some(rest) => rest.strip_prefix('/').unwrap_or(path),
        None => path,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;
    use alloc::vec::Vec;
    use proptest::prelude::*;

    const HOME: &str = "/local/domain/7";

    #[test]
    fn relative_paths_lie_in_the_home() {
        assert_eq!(absolute(HOME, "data/x").unwrap(), "/local/domain/7/data/x");
        assert_eq!(absolute(HOME, "/vm").unwrap(), "/vm");
        assert_eq!(absolute(HOME, "/").unwrap(), "/");
        assert_eq!(home(DomId::new(7)), HOME);
        for wrong in ["", "a/", "/a/", "a//b", "//", "a b", "ä", "a\0b", "a.b", "//a"] {
            assert_eq!(absolute(HOME, wrong), Err(Errno::EINVAL), "{wrong:?}");
        }
    }

    #[test]
    fn the_length_is_counted_from_the_home() {
        let long = |len: usize| "a".repeat(len);
        assert!(absolute(HOME, &long(REL_PATH_MAX)).is_ok());
        assert!(absolute(HOME, &long(REL_PATH_MAX + 1)).is_err());
        assert!(is_valid(&format!("/{}", long(REL_PATH_MAX - 1))));
        assert!(!is_valid(&format!("/{}", long(REL_PATH_MAX))));
        assert!(is_valid(&format!("/local/domain/12345/{}", long(REL_PATH_MAX))));
        assert!(!is_valid(&format!("/local/domain/123456/{}", long(REL_PATH_MAX))));
    }

    #[test]
    fn special_names_are_no_nodes() {
        assert!(is_valid_special(RELEASE_DOMAIN) && is_valid_special("@anything"));
        assert!(!is_valid_special("releaseDomain") && !is_valid_special("@a b"));
        assert!(!is_valid(RELEASE_DOMAIN));
        assert!(is_at_or_below("@releaseDomain", "@releaseDomain"));
        assert!(!is_at_or_below("@releaseDomain/1", "@releaseDomain"));
        assert!(!is_at_or_below("@releaseDomain", ROOT));
    }

    #[test]
    fn parents_and_children() {
        assert_eq!(parent("/a/b"), Some("/a"));
        assert_eq!(parent("/a"), Some("/"));
        assert_eq!(parent("/"), None);
        assert_eq!(parent("@x"), None);
        assert_eq!((name("/a/b"), name("/")), ("b", ""));
        assert_eq!((child("/", "a"), child("/a", "b")), ("/a".to_string(), "/a/b".to_string()));
        assert!(is_at_or_below("/a/b", "/a") && is_at_or_below("/a", "/a"));
        assert!(!is_at_or_below("/ab", "/a") && is_at_or_below("/ab", "/"));
        assert_eq!(relative(HOME, "/local/domain/7/x/y"), "x/y");
        assert_eq!(relative(HOME, "/local/domain/77/x"), "/local/domain/77/x");
    }

    proptest! {
        #[test]
        fn validity_is_what_a_slow_reading_says(path in "[/ab.@]{0,12}") {
            let names: Vec<&str> = path.split('/').collect();
            let good_name = |name: &&str| !name.is_empty() && !name.contains('.');
            let slow = path == "/" || (names.len() > 1 && names[0].is_empty()
                && names[1..].iter().all(good_name));
            prop_assert_eq!(is_valid(&path), slow);
        }

        #[test]
        fn a_child_lies_below_every_path_above_it(names in prop::collection::vec("[a-c]{1,2}", 1..6)) {
            let path = format!("/{}", names.join("/"));
            let mut above = Some(path.as_str());
            while let Some(top) = above {
                prop_assert!(is_at_or_below(&path, top));
                above = parent(top);
            }
            let top = parent(&path).unwrap();
            prop_assert_eq!(child(top, name(&path)), path);
        }
    }
}
