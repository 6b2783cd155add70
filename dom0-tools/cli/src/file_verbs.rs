//! The shell's words for files: what is asked for, and whether it makes sense.
//!
//! A name without `/` at its front is a file of the boot archive, which can only be read; a path is on
//! the disk of the control domain. Who carries it out is the control domain's file service.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use zl_toolstack::config::shown;
use zl_toolstack::staged::is_path;
use zl_toolstack::ToolError;

/// What to do with files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FileVerb {
    /// List the archive, or a folder or file of the disk.
    List {
        /// The path; the archive when absent.
        path: Option<String>,
        /// With times.
        long: bool,
    },
    /// Show a text.
    Show(String),
    /// Copy a file of either kind to the disk.
    Copy {
        /// The file.
        from: String,
        /// Its new path.
        to: String,
    },
    /// Give a file or folder another path.
    Move {
        /// The old path.
        from: String,
        /// The new path.
        to: String,
    },
    /// Remove files.
    Remove {
        /// Which.
        paths: Vec<String>,
        /// Folders too, with all that is in them.
        recursive: bool,
    },
    /// Make folders.
    MakeFolder {
        /// Which.
        paths: Vec<String>,
        /// Those above them too; folders that exist are fine.
        parents: bool,
    },
    /// Set the size of a file; it is made if need be.
    Resize {
        /// Which.
        path: String,
        /// Bytes.
        size: u64,
    },
    /// Show the room on the disk.
    Space,
    /// Make everything durable.
    Sync,
    /// Make an empty file system.
    Format {
        /// Even if there is one.
        force: bool,
    },
}

/// Reads the words of a command about files; `None` when it is none.
///
/// # Errors
/// Words that do not fit, as one line.
pub fn parse(name: &str, rest: &[String]) -> Option<Result<FileVerb, ToolError>> {
    let (flags, words) = parts(rest);
    let verb = match name {
        "ls" => list(&flags, words),
        "cat" => one(name, "FILE", &flags, words).map(FileVerb::Show),
        "cp" => two(name, "FILE PATH", &flags, words).and_then(|(from, to)| copy(from, to)),
        "mv" => two(name, "PATH PATH", &flags, words).and_then(|(from, to)| {
            Ok(FileVerb::Move { from: path(name, from)?, to: path(name, to)? })
        }),
        "rm" => many(name, "[-r] PATH ...", "r", &flags, words)
            .map(|(recursive, paths)| FileVerb::Remove { paths, recursive }),
        "mkdir" => many(name, "[-p] PATH ...", "p", &flags, words)
            .map(|(parents, paths)| FileVerb::MakeFolder { paths, parents }),
        "truncate" => resize(rest),
        "df" => none(name, rest).map(|()| FileVerb::Space),
        "sync" => none(name, rest).map(|()| FileVerb::Sync),
        "format-disk" => match rest {
            [] => Ok(FileVerb::Format { force: false }),
            [flag] if flag == "-f" => Ok(FileVerb::Format { force: true }),
            _ => Err(usage(name, "[-f]")),
        },
        _ => return None,
    };
    Some(verb)
}

/// Letters of all options, and the other words.
fn parts(rest: &[String]) -> (String, Vec<String>) {
    let (flags, words): (Vec<&String>, Vec<&String>) =
        rest.iter().partition(|word| word.len() > 1 && word.starts_with('-'));
    let letters = flags.iter().flat_map(|flag| flag.chars().skip(1)).collect();
    (letters, words.into_iter().cloned().collect())
}

fn usage(name: &str, words: &str) -> ToolError {
    ToolError::usage(format!("{name}: the words do not fit; usage: {name} {words}"))
}

fn none(name: &str, rest: &[String]) -> Result<(), ToolError> {
    match rest {
        [] => Ok(()),
        _ => Err(usage(name, "")),
    }
}

fn path(name: &str, word: String) -> Result<String, ToolError> {
    match is_path(&word) {
        true => Ok(word),
        false => {
            let word = shown(&word);
            let what = format!("{name}: '{word}' is no path of the disk; paths begin with '/'");
            Err(ToolError::usage(what))
        }
    }
}

fn list(flags: &str, words: Vec<String>) -> Result<FileVerb, ToolError> {
    let mut words = words.into_iter();
    let (first, more) = (words.next(), words.next());
    if more.is_some() || flags.chars().any(|letter| letter != 'l') {
        return Err(usage("ls", "[-l] [PATH]"));
    }
    let path = first.map(|word| path("ls", word)).transpose()?;
    Ok(FileVerb::List { path, long: !flags.is_empty() })
}

fn one(name: &str, what: &str, flags: &str, words: Vec<String>) -> Result<String, ToolError> {
    match <[String; 1]>::try_from(words) {
        Ok([word]) if flags.is_empty() => Ok(word),
        _ => Err(ToolError::usage(format!("{name} needs one word; usage: {name} {what}"))),
    }
}

fn two(
    name: &str,
    what: &str,
    flags: &str,
    words: Vec<String>,
) -> Result<(String, String), ToolError> {
    match <[String; 2]>::try_from(words) {
        Ok([from, to]) if flags.is_empty() => Ok((from, to)),
        _ => Err(ToolError::usage(format!("{name} needs two words; usage: {name} {what}"))),
    }
}

fn copy(from: String, to: String) -> Result<FileVerb, ToolError> {
    Ok(FileVerb::Copy { from, to: path("cp", to)? })
}

fn many(
    name: &str,
    what: &str,
    known: &str,
    flags: &str,
    words: Vec<String>,
) -> Result<(bool, Vec<String>), ToolError> {
    if words.is_empty() || !flags.chars().all(|letter| known.contains(letter)) {
        return Err(usage(name, what));
    }
    let paths = words.into_iter().map(|word| path(name, word)).collect::<Result<_, _>>()?;
    Ok((!flags.is_empty(), paths))
}

fn resize(rest: &[String]) -> Result<FileVerb, ToolError> {
    let [flag, size, file] = rest else { return Err(usage("truncate", "-s SIZE PATH")) };
    let Some(size) = bytes(size).filter(|_| flag == "-s") else {
        let text = "truncate: expected -s and a size like 4096, 64K, 64M or 1G";
        return Err(ToolError::usage(text));
    };
    Ok(FileVerb::Resize { path: path("truncate", file.clone())?, size })
}

/// A size with an optional K, M or G.
fn bytes(word: &str) -> Option<u64> {
    let (digits, shift) = match word.as_bytes().last()? {
        b'K' | b'k' => (word.get(..word.len() - 1)?, 10),
        b'M' | b'm' => (word.get(..word.len() - 1)?, 20),
        b'G' | b'g' => (word.get(..word.len() - 1)?, 30),
        _ => (word, 0),
    };
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    digits.parse::<u64>().ok()?.checked_mul(1 << shift)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Result<FileVerb, ToolError> {
        let words: Vec<String> = line.split_whitespace().map(String::from).collect();
        parse(&words[0], &words[1..]).expect("a command about files")
    }

    #[test]
    fn words_are_understood() {
        assert_eq!(read("ls"), Ok(FileVerb::List { path: None, long: false }));
        let all = FileVerb::List { path: Some("/images".into()), long: true };
        assert_eq!(read("ls -l /images"), Ok(all));
        assert_eq!(read("cat a.cfg"), Ok(FileVerb::Show("a.cfg".into())));
        let copy = FileVerb::Copy { from: "hello".into(), to: "/images/hello".into() };
        assert_eq!(read("cp hello /images/hello"), Ok(copy));
        let size = 64 << 20;
        assert_eq!(read("truncate -s 64M /a"), Ok(FileVerb::Resize { path: "/a".into(), size }));
        let gone = FileVerb::Remove { paths: Vec::from(["/a".into()]), recursive: true };
        assert_eq!(read("rm -r /a"), Ok(gone));
        assert!(parse("echo", &[]).is_none());
    }

    #[test]
    fn words_that_do_not_fit_are_one_line() {
        for line in [
            "ls a",
            "ls -x",
            "ls / /",
            "cat",
            "cat a b",
            "cp a",
            "cp a b",
            "mv a /b",
            "rm",
            "rm a",
            "rm -x /a",
            "mkdir",
            "truncate /a",
            "truncate -s x /a",
            "truncate -s 99999999999G /a",
            "df /",
            "sync now",
            "format-disk now",
        ] {
            let error = read(line).expect_err(line);
            assert_eq!(error.text.lines().count(), 1, "{line}");
            assert_eq!(error.status, zl_toolstack::Status::Usage, "{line}");
        }
    }
}
