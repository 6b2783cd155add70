//! `test`, also written `[ ... ]`: a condition as a status.

use alloc::string::String;
use alloc::vec::Vec;

use pvkernel_user::abi::FileKind;
use pvkernel_user::sys;

/// How it is called.
pub const USAGE: &str =
    "test [!] (-e|-f|-d|-s PATH | -z|-n WORD | A =|!= B | N -eq|-ne|-lt|-le|-gt|-ge N)";

/// Whether a condition holds; `None` if it is none.
pub fn holds(args: &[String]) -> Option<bool> {
    let texts: Vec<&str> = args.iter().map(String::as_str).collect();
    match texts.split_first() {
        Some((&"!", rest)) if !rest.is_empty() => condition(rest).map(|holds| !holds),
        _ => condition(&texts),
    }
}

fn condition(texts: &[&str]) -> Option<bool> {
    let kind_is = |path: &str, kind: FileKind| {
        sys::stat(path.as_bytes()).is_ok_and(|stat| stat.kind == kind as u32)
    };
    Some(match texts {
        [] => false,
        [word] => !word.is_empty(),
        ["-z", word] => word.is_empty(),
        ["-n", word] => !word.is_empty(),
        ["-e", path] => sys::stat(path.as_bytes()).is_ok(),
        ["-f", path] => kind_is(path, FileKind::File),
        ["-d", path] => kind_is(path, FileKind::Directory),
        ["-s", path] => sys::stat(path.as_bytes()).is_ok_and(|stat| stat.size > 0),
        [a, "=", b] => a == b,
        [a, "!=", b] => a != b,
        [a, comparison, b] => compare(a.parse().ok()?, comparison, b.parse().ok()?)?,
        _ => return None,
    })
}

fn compare(a: i64, comparison: &str, b: i64) -> Option<bool> {
    Some(match comparison {
        "-eq" => a == b,
        "-ne" => a != b,
        "-lt" => a < b,
        "-le" => a <= b,
        "-gt" => a > b,
        "-ge" => a >= b,
        _ => return None,
    })
}
