//! `diff-backends`: how much of the kernel depends on where it runs.
//!
//! The backends have files of the same names where they do the same thing, `pvkernel/xen/src` by
//! hypercalls and `pvkernel/native/src` by instructions. The verb counts the lines in which each pair
//! differs, those first that differ most; with the name of a file it shows them. Files that one backend takes
//! from the other (`#[path]`, `include_str!`) do not differ, and are named as such. `tidy` holds the sum to
//! what can be read in a lecture.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::Path;

use crate::args::Args;
use crate::paths::Paths;
use crate::Result;

/// Hypercalls.
const XEN: &str = "pvkernel/xen/src";
/// Instructions.
const NATIVE: &str = "pvkernel/native/src";
/// How a source of the second backend names one of the first: around the path.
const SHARED: [(&str, &str); 2] = [("#[path = \"", "\"]"), ("include_str!(\"", "\"),")];
/// Changed lines of code, all pairs together, that are read in one lecture.
const LECTURE_LINES: usize = 850;
/// Lines that are shown around a difference.
const AROUND: usize = 2;

/// The verb.
pub fn run(args: &mut Args) -> Result<()> {
    let wanted = args.positional();
    args.finish()?;
    let root = Paths::find()?.root;
    let (xen, native) = (sources(&root.join(XEN))?, sources(&root.join(NATIVE))?);
    let text = match wanted {
        Some(name) => difference(&name, &xen, &native)?,
        None => table(&xen, &native),
    };
    // Whoever reads may stop before the end.
    let _ = std::io::stdout().write_all(text.as_bytes());
    Ok(())
}

/// Texts by their names below a folder.
type Sources = BTreeMap<String, String>;

/// All sources of a backend, without its programs.
fn sources(folder: &Path) -> Result<Sources> {
    let mut found = Sources::new();
    collect(folder, "", &mut found)?;
    Ok(found)
}

fn collect(folder: &Path, prefix: &str, found: &mut Sources) -> Result<()> {
    let entries = folder.read_dir().map_err(|error| format!("{}: {error}", folder.display()))?;
    for entry in entries.flatten() {
        let (path, name) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
        let name = format!("{prefix}{name}");
        if path.is_dir() {
            if name != "bin" {
                collect(&path, &format!("{name}/"), found)?;
            }
        } else if name.ends_with(".rs") || name.ends_with(".S") {
            let text = fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))?;
            found.insert(name, text);
        }
    }
    Ok(())
}

/// The files of the first backend that the second takes as they are.
fn taken(native: &Sources) -> Vec<String> {
    let lines = native.values().flat_map(|text| text.lines().map(str::trim));
    let path = |line: &'_ str| {
        let inside = SHARED.iter().find_map(|(a, b)| line.strip_prefix(a)?.strip_suffix(b));
        inside?.split_once("xen/src/").map(|(_, name)| name.to_string())
    };
    let mut names: Vec<String> = lines.filter_map(path).collect();
    names.sort();
    names
}

/// A line of a comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Edit<'a> {
    Both(&'a str),
    Xen(&'a str),
    Native(&'a str),
}

/// Compares two texts: a longest common subsequence of lines, and what is beside it.
fn compare<'a>(xen: &'a str, native: &'a str) -> Vec<Edit<'a>> {
    let (a, b): (Vec<&str>, Vec<&str>) = (xen.lines().collect(), native.lines().collect());
    // best[i][j]: common lines of a[i..] and b[j..].
    let mut best = vec![vec![0_u32; b.len() + 1]; a.len() + 1];
    for i in (0..a.len()).rev() {
        for j in (0..b.len()).rev() {
            best[i][j] = match a[i] == b[j] {
                true => best[i + 1][j + 1] + 1,
                false => best[i + 1][j].max(best[i][j + 1]),
            };
        }
    }
    let (mut i, mut j) = (0, 0);
    let mut edits = Vec::new();
    while i < a.len() || j < b.len() {
        if i < a.len() && j < b.len() && a[i] == b[j] {
            edits.push(Edit::Both(a[i]));
            (i, j) = (i + 1, j + 1);
        } else if j == b.len() || (i < a.len() && best[i + 1][j] >= best[i][j + 1]) {
            edits.push(Edit::Xen(a[i]));
            i += 1;
        } else {
            edits.push(Edit::Native(b[j]));
            j += 1;
        }
    }
    edits
}

/// Lines of either that the other does not have.
fn changed(edits: &[Edit<'_>]) -> usize {
    edits.iter().filter(|edit| !matches!(edit, Edit::Both(_))).count()
}

/// Of those, the ones that are more than a comment.
fn changed_code(edits: &[Edit<'_>]) -> usize {
    let line = |edit: &Edit<'_>| match edit {
        Edit::Both(_) => None,
        Edit::Xen(line) | Edit::Native(line) => Some(line.trim().to_string()),
    };
    let is_comment = |line: &str| line.starts_with("//") || line.starts_with("# ") || line == "#";
    let lines = edits.iter().filter_map(line);
    lines.filter(|line| !line.is_empty() && !is_comment(line)).count()
}

/// A pair of files of the same name: lines of each, changed lines, and those that are code.
struct Pair<'a> {
    name: &'a str,
    numbers: [usize; 4],
}

/// All pairs; those first that differ most.
fn pairs<'a>(xen: &'a Sources, native: &Sources) -> Vec<Pair<'a>> {
    let both = xen.iter().filter_map(|(name, ours)| Some((name, ours, native.get(name)?)));
    let pair = |(name, ours, theirs): (&'a String, &String, &String)| {
        let edits = compare(ours, theirs);
        let (a, b) = (ours.lines().count(), theirs.lines().count());
        Pair { name, numbers: [a, b, changed(&edits), changed_code(&edits)] }
    };
    let mut pairs: Vec<_> = both.map(pair).collect();
    pairs.sort_by_key(|pair| std::cmp::Reverse(pair.numbers[3]));
    pairs
}

fn sums(pairs: &[Pair<'_>]) -> [usize; 4] {
    std::array::from_fn(|at| pairs.iter().map(|pair| pair.numbers[at]).sum())
}

fn sentence(code: usize) -> String {
    format!("to read in the lecture: {code} changed lines of code, at most {LECTURE_LINES}\n")
}

/// For `tidy`: prints the sum; a problem if it is too large.
pub fn problem(root: &Path) -> Result<Option<String>> {
    let (xen, native) = (sources(&root.join(XEN))?, sources(&root.join(NATIVE))?);
    let code = sums(&pairs(&xen, &native))[3];
    print!("{XEN} and {NATIVE}, {}", sentence(code));
    Ok(too_long(code))
}

fn too_long(code: usize) -> Option<String> {
    let text =
        format!("{XEN} and {NATIVE} differ in {code} lines of code, more than {LECTURE_LINES}");
    (code > LECTURE_LINES).then_some(text)
}

fn table(xen: &Sources, native: &Sources) -> String {
    let mut text =
        format!("{:<20} {:>7} {:>7} {:>8} {:>8}\n", "file", "xen", "native", "changed", "code");
    let row = |name: &str, [a, b, changed, code]: [usize; 4]| {
        format!("{name:<20} {a:>7} {b:>7} {changed:>8} {code:>8}\n")
    };
    let pairs = pairs(xen, native);
    pairs.iter().for_each(|pair| text.push_str(&row(pair.name, pair.numbers)));
    let sums = sums(&pairs);
    text.push_str(&row(&format!("{} files", pairs.len()), sums));
    text.push_str(&sentence(sums[3]));
    let taken = taken(native);
    let lines = |names: &[String]| {
        names
            .iter()
            .filter_map(|name| xen.get(name))
            .map(|text| text.lines().count())
            .sum::<usize>()
    };
    let list = taken.join(" ");
    text.push_str(&format!("one file for both: {list} ({} lines)\n", lines(&taken)));
    for (where_, these, others) in [("xen", xen, native), ("native", native, xen)] {
        let only = these.iter().filter(|(name, _)| !others.contains_key(*name));
        let only: Vec<_> = only.filter(|(name, _)| !taken.contains(name)).collect();
        let lines: usize = only.iter().map(|(_, text)| text.lines().count()).sum();
        text.push_str(&format!("only in {where_}: {} files, {lines} lines\n", only.len()));
    }
    text
}

/// Where a file differs, with a few lines around.
fn difference(name: &str, xen: &Sources, native: &Sources) -> Result<String> {
    let (Some(ours), Some(theirs)) = (xen.get(name), native.get(name)) else {
        return Err(format!("{name} is not in both of {XEN} and {NATIVE}"));
    };
    let mut text = format!("--- {XEN}/{name}\n+++ {NATIVE}/{name}\n");
    let edits = compare(ours, theirs);
    let is_near = |at: usize| {
        let range = at.saturating_sub(AROUND)..(at + AROUND + 1).min(edits.len());
        changed(&edits[range]) > 0
    };
    let mut was_near = true;
    for (at, edit) in edits.iter().enumerate() {
        let near = is_near(at);
        if near && !was_near {
            text.push_str("...\n");
        }
        was_near = near;
        let (sign, line) = match edit {
            Edit::Both(_) if !near => continue,
            Edit::Both(line) => (' ', line),
            Edit::Xen(line) => ('-', line),
            Edit::Native(line) => ('+', line),
        };
        text.push_str(&format!("{sign}{line}\n"));
    }
    let (lines, code) = (changed(&edits), changed_code(&edits));
    text.push_str(&format!("{lines} lines changed, {code} of code\n"));
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(files: &[(&str, &str)]) -> Sources {
        files.iter().map(|(name, text)| (name.to_string(), text.to_string())).collect()
    }

    #[test]
    fn common_lines_are_kept_in_order_and_all_others_count() {
        let edits = compare("a\nb\nc\nd\n", "a\nx\nc\ny\nd\n");
        let expected = [
            Edit::Both("a"),
            Edit::Xen("b"),
            Edit::Native("x"),
            Edit::Both("c"),
            Edit::Native("y"),
            Edit::Both("d"),
        ];
        assert_eq!(edits, expected);
        assert_eq!(changed(&edits), 3);
        assert_eq!(changed(&compare("", "a\nb\n")), 2);
        assert_eq!(changed(&compare("a\n", "a\n")), 0);
    }

    #[test]
    fn only_files_of_the_same_name_are_compared_and_the_rest_is_counted() {
        let xen = of(&[
            ("a.rs", "1\n2\n"),
            ("b.rs", "1\n"),
            ("d.rs", "1\n2\n"),
            ("h.rs", "1\n2\n3\n"),
            ("i.S", "1\n2\n"),
        ]);
        let native = of(&[
            ("a.rs", "1\n// 3\n"),
            (
                "c.rs",
                "#[path = \"../../xen/src/h.rs\"]\n    include_str!(\"../../xen/src/i.S\"),\n",
            ),
            ("d.rs", "3\n4\n"),
        ]);
        let text = table(&xen, &native);
        let rows: Vec<&str> = text.lines().collect();
        assert_eq!(rows[1], "d.rs                       2       2        4        4");
        assert_eq!(rows[2], "a.rs                       2       2        2        1");
        assert_eq!(rows[3], "2 files                    4       4        6        5");
        assert_eq!(format!("{}\n", rows[4]), sentence(5));
        assert_eq!(rows[5], "one file for both: h.rs i.S (5 lines)");
        assert_eq!(rows[6], "only in xen: 1 files, 1 lines");
        assert_eq!(rows[7], "only in native: 1 files, 2 lines");
        let text = difference("a.rs", &xen, &native).unwrap();
        assert!(text.ends_with("\n 1\n-2\n+// 3\n2 lines changed, 1 of code\n"), "{text}");
        assert!(difference("b.rs", &xen, &native).unwrap_err().starts_with("b.rs is not in both"));
    }

    #[test]
    fn more_than_a_lecture_is_a_problem() {
        assert_eq!(too_long(LECTURE_LINES), None);
        assert!(too_long(LECTURE_LINES + 1).is_some());
    }
}
