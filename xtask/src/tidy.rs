//! `tidy`: rules of the source tree that no compiler checks.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use crate::args::Args;
use crate::citations::{self, shown};
use crate::paths::Paths;
use crate::sources::{Facts, Source};
use crate::Result;
use crate::{backends, book};

/// Longer files are listed, as a hint.
const LONG_FILE_LINES: usize = 300;
/// Longer files fail, tables and tests excepted.
const LONGEST_FILE_LINES: usize = 700;
/// An assembly file with less to say about itself does not say enough.
const HEADER_LINES: usize = 3;
/// The whole hypervisor without its tests, comments and blank lines.
const HYPERVISOR_LINES: usize = 15_000;

/// The teaching kernel without a machine, counted alike.
const KERNEL: (&str, usize) = ("pvkernel/core", 10_000);

/// What in the kernel's core is there for tests alone: promises that backends are held to, the fake
/// machine, and models that file systems are compared with.
const KERNEL_TESTS: &[&str] = &[
    "pvkernel/core/src/platform/contract",
    "pvkernel/core/src/platform/hosted",
    "pvkernel/core/src/fs/model.rs",
    "pvkernel/core/src/fs/exercise.rs",
];

/// The crates in which unsafe code may stand: the machine, the kernel's backends,
/// guests whose purpose is to break the rules of both, programs, which have a heap and system calls, and
/// the book's first guest, which has no kernel below it.
const UNSAFE_CRATES: &[&str] = &[
    "hypervisor/machine",
    "pvkernel/xen",
    "pvkernel/native",
    "pvkernel/user",
    "pvkernel/book/first",
    "tests/guests",
];

/// The sources of a guest that promises to be short, and its lines, all of them.
const SHORT_GUEST: (&str, usize) = ("pvkernel/book/first/src", 150);

/// Folders that are no sources of ours.
const SKIPPED: &[&str] = &["target", ".git"];

/// Words that promise what is not there, or hide that something is not used. They are put together
/// here so that this file does not contain them.
const PROMISES: &[&str] = &[
    concat!("to", "do!("),
    concat!("unimple", "mented!("),
    concat!("FIX", "ME"),
    concat!("XX", "X:"),
    concat!("#[allow(dead", "_code)]"),
    concat!("#[ig", "nore"),
    concat!("db", "g!("),
];

/// Folders of one machine, which mean nothing on another.
const MACHINE_PATHS: &[&str] =
    &[concat!("/wo", "rk/"), concat!("/ro", "ot/"), concat!("/ho", "me/")];

/// The verb.
pub fn run(args: &mut Args) -> Result<()> {
    args.finish()?;
    let problems = check(&Paths::find()?)?;
    problems.iter().for_each(|problem| println!("{problem}"));
    match problems.len() {
        0 => {
            println!("tidy: ok");
            Ok(())
        }
        count => Err(format!("{count} problems")),
    }
}

/// Checks everything, prints the numbers and returns the problems.
pub fn check(paths: &Paths) -> Result<Vec<String>> {
    let mut files = Vec::new();
    collect(&paths.root, &paths.target, &mut files)?;
    files.sort();
    let mut tree = Tree { root: paths.root.clone(), ..Tree::default() };
    for file in &files {
        // A file that is no text is no source.
        let Ok(text) = fs::read_to_string(file) else { continue };
        tree.look_at(file, &text);
    }
    tree.check_sizes();
    tree.problems.extend(book::problems(&paths.root)?);
    tree.print();
    tree.problems.extend(backends::problem(&paths.root)?);
    Ok(tree.problems)
}

/// All files below `folder` that could be ours.
fn collect(folder: &Path, target: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    let entries = folder.read_dir().map_err(|error| format!("{}: {error}", folder.display()))?;
    for entry in entries.flatten() {
        let path = entry.path();
        let name = entry.file_name().to_string_lossy().into_owned();
        if SKIPPED.contains(&name.as_str()) || path == target {
            continue;
        }
        match path.is_dir() {
            true => collect(&path, target, files)?,
            false => files.push(path),
        }
    }
    Ok(())
}

/// What was found so far.
#[derive(Default)]
struct Tree {
    root: PathBuf,
    crates: BTreeMap<String, Facts>,
    long: Vec<(String, usize)>,
    short_guest_lines: usize,
    problems: Vec<String>,
}

impl Tree {
    fn look_at(&mut self, file: &Path, text: &str) {
        let name = shown(&self.root, file);
        if name.starts_with(SHORT_GUEST.0) {
            self.short_guest_lines += text.lines().count();
        }
        match file.extension().and_then(|extension| extension.to_str()) {
            Some("rs") => self.look_at_rust(&name, text),
            Some("S") => self.look_at_assembly(&name, text),
            Some("md") => self.problems.extend(citations::problems(&self.root, file, text)),
            Some("toml" | "ld" | "cfg" | "sh") => {}
            _ => return,
        }
        for (line, word) in Source::new(text).lines_with(MACHINE_PATHS) {
            self.problems.push(format!("{name}:{line}: {word} is a path of one machine"));
        }
    }

    fn look_at_rust(&mut self, name: &str, text: &str) {
        let source = Source::new(text);
        let facts = source.facts();
        let place = crate_of(name);
        if !is_test_file(name) {
            add(self.crates.entry(place.clone()).or_default(), &facts);
        }
        if facts.lines > LONG_FILE_LINES {
            self.long.push((name.to_string(), facts.lines));
        }
        for (line, word) in source.lines_with(PROMISES) {
            self.problems.push(format!("{name}:{line}: {word} does not belong here"));
        }
        // A module of tests beside the tested one is named after it.
        if !source.has_header() && !is_test_file(name) {
            self.problems.push(format!("{name}: no header (`//!`) says what this file is"));
        }
        let allowed = UNSAFE_CRATES.contains(&place.as_str());
        if source.has_unsafe() && !allowed {
            self.problems.push(format!("{name}: unsafe code outside its crates"));
        }
        for line in source.unexplained_unsafe() {
            self.problems.push(format!("{name}:{line}: unsafe without a SAFETY note"));
        }
        let is_root = name.ends_with("src/lib.rs") || name.ends_with("src/main.rs");
        // `deny` where the macro that makes the entry point has to allow itself one attribute.
        let fenced = ["#![forbid(unsafe_code)]", "#![deny(unsafe_code)]"];
        if is_root && !allowed && !fenced.iter().any(|fence| text.contains(fence)) {
            self.problems.push(format!("{name}: lacks {}", fenced[0]));
        }
    }

    fn look_at_assembly(&mut self, name: &str, text: &str) {
        let comment = |line: &&str| ["//", "/*", "#", "*"].iter().any(|c| line.starts_with(c));
        let header = text.lines().map(str::trim).take_while(|l| l.is_empty() || comment(l));
        if header.filter(|line| line.len() > 3).count() < HEADER_LINES {
            let wanted = "who jumps here, mode, stack, registers, who runs next";
            self.problems.push(format!("{name}: the header is missing or short ({wanted})"));
        }
    }

    fn check_sizes(&mut self) {
        for (name, lines) in &self.long {
            let excepted = is_test_file(name) || name.contains("table");
            if *lines > LONGEST_FILE_LINES && !excepted {
                let text = format!("{name}: {lines} lines, more than {LONGEST_FILE_LINES}");
                self.problems.push(text);
            }
        }
        if self.short_guest_lines >= SHORT_GUEST.1 {
            let (folder, limit) = SHORT_GUEST;
            let lines = self.short_guest_lines;
            self.problems.push(format!("{folder}: {lines} lines, to be fewer than {limit}"));
        }
        let (kernel, limit) = KERNEL;
        let lines = self.kernel_lines();
        if lines > limit {
            self.problems.push(format!("{kernel}: {lines} lines of code, more than {limit}"));
        }
        let lines = self.hypervisor_lines(|facts| facts.code_lines);
        if lines > HYPERVISOR_LINES {
            let text = format!("hypervisor: {lines} lines of code, more than {HYPERVISOR_LINES}");
            self.problems.push(text);
        }
    }

    fn hypervisor_lines(&self, count: fn(&Facts) -> usize) -> usize {
        let ours = self.crates.iter().filter(|(name, _)| name.starts_with("hypervisor/"));
        ours.map(|(_, facts)| count(facts)).sum()
    }

    fn kernel_lines(&self) -> usize {
        self.crates.get(KERNEL.0).map_or(0, |facts| facts.code_lines)
    }

    fn print(&self) {
        println!("{:<24} {:>7} {:>7} {:>7} {:>7}", "crate", "lines", "code", "unsafe", "ratio");
        for (name, facts) in &self.crates {
            let ratio = 100.0 * facts.unsafe_lines as f64 / facts.code_lines.max(1) as f64;
            let (lines, code) = (facts.lines_without_tests, facts.code_lines);
            println!("{name:<24} {lines:>7} {code:>7} {:>7} {ratio:>6.1}%", facts.unsafe_lines);
        }
        let long: Vec<String> = self.long.iter().map(|(name, n)| format!("{name} ({n})")).collect();
        println!("files over {LONG_FILE_LINES} lines: {}", long.len());
        long.iter().for_each(|line| println!("  {line}"));
        println!(
            "hypervisor without tests: {} lines of code, budget {HYPERVISOR_LINES} \
             ({} with comments and blank lines)",
            self.hypervisor_lines(|facts| facts.code_lines),
            self.hypervisor_lines(|facts| facts.lines_without_tests)
        );
        let (kernel, limit) = KERNEL;
        println!("{kernel} without tests: {} lines of code, budget {limit}", self.kernel_lines());
    }
}

fn add(sum: &mut Facts, facts: &Facts) {
    sum.lines += facts.lines;
    sum.lines_without_tests += facts.lines_without_tests;
    sum.code_lines += facts.code_lines;
    sum.unsafe_lines += facts.unsafe_lines;
    sum.unsafe_items += facts.unsafe_items;
}

/// The folder of the crate a file belongs to: what stands before `src`, `tests` or the file.
fn crate_of(name: &str) -> String {
    let parts: Vec<&str> = name.split('/').collect();
    let after = |part: &&str| *part == "src" || *part == "benches" || *part == "examples";
    // `tests/guests` and `tests/system` are crates of their own, `core/tests` is a part of one.
    let end = parts.iter().position(after).or_else(|| {
        parts.iter().skip(1).position(|part| *part == "tests").map(|position| position + 1)
    });
    let end = end.unwrap_or(parts.len().saturating_sub(1));
    parts.get(..end).unwrap_or_default().join("/")
}

/// Files that hold nothing but tests, and the programs that try a crate on the machine.
fn is_test_file(name: &str) -> bool {
    let parts: Vec<&str> = name.split('/').collect();
    let inside = parts.iter().skip(1).any(|part| *part == "tests" || *part == "testkit");
    let probe = name.contains("-probe/");
    let in_kernel = KERNEL_TESTS.iter().any(|start| name.starts_with(start));
    inside || probe || in_kernel || name.ends_with("tests.rs") || name.ends_with("testkit.rs")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_belongs_to_the_crate_whose_folder_holds_it() {
        assert_eq!(crate_of("hypervisor/core/src/page/mod.rs"), "hypervisor/core");
        assert_eq!(crate_of("hypervisor/core/tests/loom_page.rs"), "hypervisor/core");
        assert_eq!(crate_of("tests/system/src/lib.rs"), "tests/system");
        assert_eq!(crate_of("hypervisor/image/build.rs"), "hypervisor/image");
        assert_eq!(crate_of("xtask/src/main.rs"), "xtask");
    }

    #[test]
    fn tests_are_known_by_their_place_or_name() {
        assert!(is_test_file("hypervisor/core/tests/loom_page.rs"));
        assert!(is_test_file("a/src/config/tests.rs"));
        assert!(!is_test_file("tests/guests/src/main.rs"));
        assert!(!is_test_file("a/src/page.rs"));
    }

    #[test]
    fn promises_and_missing_headers_are_problems() {
        let mut tree = Tree::default();
        let text = format!("fn f() {{ {}) }}\n", PROMISES[0]);
        tree.look_at_rust("a/src/b.rs", &text);
        assert_eq!(tree.problems.len(), 2, "{:?}", tree.problems);
    }

    #[test]
    fn unsafe_code_is_refused_outside_its_crates_and_without_a_note() {
        let text = "//! H.\nfn f() {\n    unsafe { g() }\n}\n";
        let mut inside = Tree::default();
        inside.look_at_rust("hypervisor/machine/src/a.rs", text);
        assert_eq!(inside.problems.len(), 1);
        let mut outside = Tree::default();
        outside.look_at_rust("hypervisor/core/src/a.rs", text);
        assert_eq!(outside.problems.len(), 2);
    }

    #[test]
    fn assembly_needs_a_header_of_some_length() {
        let mut tree = Tree::default();
        tree.look_at_assembly("a.S", "// short\n.text\n");
        assert_eq!(tree.problems.len(), 1);
        let header = "// Who jumps here.\n".repeat(6);
        tree.look_at_assembly("b.S", &format!("{header}.text\n"));
        assert_eq!(tree.problems.len(), 1);
    }
}
