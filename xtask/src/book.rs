//! `book`: the numbers in the book of the teaching kernel, and what `tidy` asks of its chapters.
//!
//! A chapter, and the README, names rows of `docs/bench.csv`, `docs/kernel.csv` or `docs/kernel-events.csv` in a comment, and the table behind it is
//! written from them: nobody types a number, and `tidy` fails when one is old. Chapters are read as plain
//! text; mdBook is not needed for anything.

use std::fs;
use std::path::{Path, PathBuf};

use crate::args::Args;
use crate::bench_kernel::{events, Place};
use crate::paths::Paths;
use crate::Result;

/// Where the chapters are.
const FOLDER: &str = "pvkernel/book/src";
/// What has such tables, too.
const README: &str = "README.md";
/// The list of them.
const SUMMARY: &str = "SUMMARY.md";
/// A kind of table.
struct Kind {
    /// How its comment begins.
    begin: &'static str,
    /// Where its numbers are.
    file: &'static str,
    header: &'static str,
    row: fn(&str, &str, &Numbers) -> Result<String>,
}

const KINDS: &[Kind] = &[
    Kind {
        begin: "<!-- costs",
        file: "docs/bench.csv",
        header: "| instructions, with the guest's half | Xen 4.17 | Zendo | entries | row |\n\
                 | --- | --- | --- | --- | --- |\n",
        row: hypercall_row,
    },
    Kind {
        begin: "<!-- kernel costs",
        file: KERNEL_FILE,
        header: "| instructions | native | Zendo | Xen 4.17 | Zendo / native | row |\n\
                 | --- | --- | --- | --- | --- | --- |\n",
        row: kernel_row,
    },
    Kind {
        begin: "<!-- kernel events",
        file: EVENTS_FILE,
        header: "| events | native | Zendo | Xen 4.17 | row |\n\
                 | --- | --- | --- | --- | --- |\n",
        row: events_row,
    },
];

/// The instructions of `bench kernel`.
pub const KERNEL_FILE: &str = "docs/kernel.csv";
/// Its events.
pub const EVENTS_FILE: &str = "docs/kernel-events.csv";
/// Those that chapters do not tell, because there is one for each way in.
const RETURNS: [&str; 2] = ["sysrets", "irets"];

const BEGIN_END: &str = "-->\n";
const END: &str = "<!-- end of costs -->";

/// Folders whose files chapters name.
const OURS: &[&str] = &[
    "pvkernel",
    "hypervisor",
    "hypercall-abi",
    "dom0-tools",
    "tests",
    "appliances",
    "xtask",
    "docs",
];

/// What every numbered chapter has.
const HEADINGS: &[&str] = &["## Code", "## Real world", "## Exercises"];

/// The verb.
pub fn run(args: &mut Args) -> Result<()> {
    args.finish()?;
    let root = Paths::find()?.root;
    let written = update(&root)?;
    println!(
        "book: {} chapters and {README}, {written} of them written anew",
        chapters(&root)?.len()
    );
    Ok(())
}

/// Writes the tables of all chapters and of the README anew; how many changed.
pub fn update(root: &Path) -> Result<usize> {
    let numbers = Numbers::read(root)?;
    let mut written = 0;
    for path in chapters(root)?.into_iter().chain([root.join(README)]) {
        let old = read(&path)?;
        let new = filled(&old, &numbers).map_err(|text| format!("{}: {text}", path.display()))?;
        if new != old {
            fs::write(&path, new).map_err(|error| format!("{}: {error}", path.display()))?;
            written += 1;
        }
    }
    Ok(written)
}

/// What is wrong with the book, one line each. Links and citations are checked with those of all
/// documents.
pub fn problems(root: &Path) -> Result<Vec<String>> {
    let numbers = Numbers::read(root)?;
    let summary = read(&root.join(FOLDER).join(SUMMARY))?;
    let verbs: Vec<&str> = crate::VERBS.iter().map(|verb| verb.name).collect();
    let mut found = Vec::new();
    for path in chapters(root)? {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let text = read(&path)?;
        let mut say = |what: String| found.push(format!("{FOLDER}/{name}: {what}"));
        if !summary.contains(&format!("]({name})")) {
            say(format!("{SUMMARY} does not lead to it"));
        }
        let is_numbered = name.starts_with(|first: char| first.is_ascii_digit());
        let missing = HEADINGS.iter().filter(|heading| !text.lines().any(|line| line == **heading));
        missing.filter(|_| is_numbered).for_each(|heading| say(format!("has no '{heading}'")));
        stale(&text, &numbers).map(&mut say);
        let lines = prose(&text).map(|(number, line)| (number, unchecked(root, line)));
        for (number, what) in lines.filter_map(|(number, what)| Some((number, what?))) {
            say(format!("line {number}: {what}"));
        }
        for verb in verbs_in(&text).filter(|verb| !verbs.contains(verb)) {
            say(format!("`cargo xtask {verb}`: there is no such verb"));
        }
    }
    let readme = stale(&read(&root.join(README))?, &numbers);
    found.extend(readme.map(|what| format!("{README}: {what}")));
    Ok(found)
}

/// What is wrong with the tables of a text.
fn stale(text: &str, numbers: &Numbers) -> Option<String> {
    match filled(text, numbers) {
        Ok(new) if new == text => None,
        Ok(_) => Some("its numbers are not those in docs: `cargo xtask book`".to_string()),
        Err(what) => Some(what),
    }
}

/// The lines of a chapter that are no blocks of code, with their numbers.
fn prose(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut in_code = false;
    text.lines().enumerate().filter_map(move |(index, line)| {
        let is_fence = line.trim_start().starts_with("```");
        in_code ^= is_fence;
        (!in_code && !is_fence).then_some((index + 1, line))
    })
}

/// What the check of citations would overlook in a line: one that goes on in the next line, and a file
/// that is named without a text in it.
fn unchecked(root: &Path, line: &str) -> Option<String> {
    if !line.matches('`').count().is_multiple_of(2) {
        return Some("ends inside of a citation".to_string());
    }
    let quoted = line.split('`').skip(1).step_by(2);
    let is_file = |text: &&str| {
        let folder = text.split('/').next().unwrap_or_default();
        let names_one = text.contains('/') && !text.contains([' ', ':', '*']);
        names_one && !folder.is_empty() && OURS.contains(&folder)
    };
    let missing = quoted.filter(is_file).find(|text| !root.join(text).exists());
    missing.map(|text| format!("there is no {text}"))
}

fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))
}

/// The files of all chapters, in order.
fn chapters(root: &Path) -> Result<Vec<PathBuf>> {
    let folder = root.join(FOLDER);
    let entries = folder.read_dir().map_err(|error| format!("{}: {error}", folder.display()))?;
    let paths = entries.flatten().map(|entry| entry.path());
    let is_chapter = |path: &PathBuf| {
        path.extension().is_some_and(|extension| extension == "md") && !path.ends_with(SUMMARY)
    };
    let mut paths: Vec<PathBuf> = paths.filter(is_chapter).collect();
    paths.sort();
    Ok(paths)
}

/// The verbs that a text tells its reader to use.
fn verbs_in(text: &str) -> impl Iterator<Item = &str> {
    text.split("cargo xtask ").skip(1).map(|part| {
        let end = part.find(|c: char| !(c.is_ascii_alphanumeric() || c == '-'));
        &part[..end.unwrap_or(part.len())]
    })
}

/// A chapter with its tables written anew.
fn filled(text: &str, numbers: &Numbers) -> Result<String> {
    KINDS.iter().try_fold(text.to_string(), |text, kind| filled_with(kind, &text, numbers))
}

/// The same for tables of one kind.
fn filled_with(kind: &Kind, text: &str, numbers: &Numbers) -> Result<String> {
    let mut new = String::new();
    let mut rest = text;
    while let Some((before, behind)) = rest.split_once(kind.begin) {
        let missing = |what: &str| format!("'{}' without '{what}' behind it", kind.begin);
        let (list, behind) = behind.split_once(BEGIN_END).ok_or(missing(BEGIN_END.trim()))?;
        let (_, behind) = behind.split_once(END).ok_or(missing(END))?;
        let table = table(kind, list, numbers)?;
        new.push_str(&format!("{before}{}{list}{BEGIN_END}{table}{END}", kind.begin));
        rest = behind;
    }
    new.push_str(rest);
    Ok(new)
}

/// The table for a list of `row: what it is`.
fn table(kind: &Kind, list: &str, numbers: &Numbers) -> Result<String> {
    let mut text = format!("\n{}", kind.header);
    // The first line belongs to the comment's opening words.
    for line in list.lines().skip(1).filter(|line| !line.trim().is_empty()) {
        let (row, what) = line.split_once(": ").ok_or(format!("'{line}' is not 'row: what'"))?;
        text.push_str(&(kind.row)(row, what, numbers)?);
    }
    text.push('\n');
    Ok(text)
}

fn hypercall_row(row: &str, what: &str, numbers: &Numbers) -> Result<String> {
    let cell = |column: &str| {
        let number = numbers.get(KINDS[0].file, row, column)?;
        number.ok_or(format!("{}: row '{row}' has no number in '{column}'", KINDS[0].file))
    };
    let (xen, zendo) = (cell("xen_instructions")?, cell("zendo_instructions")?);
    // Events are not counted in rows that measure a part of a way.
    let counts = ["zendo_exceptions", "zendo_ints", "zendo_syscalls"];
    let counts = counts.map(|column| numbers.get(KINDS[0].file, row, column));
    let entries = counts
        .into_iter()
        .try_fold(Some(0.0), |sum, count| count.map(|count| Some(sum? + count?)))?;
    let entries = entries.map_or("-".to_string(), shown);
    let [xen, zendo] = [xen, zendo].map(shown);
    Ok(format!("| {what} | {xen} | {zendo} | {entries} | `{row}` |\n"))
}

fn kernel_row(row: &str, what: &str, numbers: &Numbers) -> Result<String> {
    let cell = |column: &str| numbers.get(KERNEL_FILE, row, column);
    let (native, zendo, xen) = (cell("native")?, cell("zendo")?, cell("xen")?);
    let ratio = zendo.zip(native).filter(|(_, native)| *native > 0.0);
    let ratio = ratio.map_or("-".to_string(), |(zendo, native)| format!("{:.2}", zendo / native));
    let [native, zendo, xen] = [native, zendo, xen].map(|n| n.map_or("-".to_string(), shown));
    Ok(format!("| {what} | {native} | {zendo} | {xen} | {ratio} | `{row}` |\n"))
}

fn events_row(row: &str, what: &str, numbers: &Numbers) -> Result<String> {
    let mut text = format!("| {what} |");
    for place in Place::ALL {
        let mut words = Vec::new();
        for (kind, name) in events::KINDS.iter().filter(|(kind, _)| !RETURNS.contains(kind)) {
            let column = format!("{}_{kind}", place.column());
            match numbers.get(EVENTS_FILE, row, &column)? {
                Some(1.0) => words.push(format!("1 {name}")),
                Some(count) if count > 0.0 => words.push(format!("{} {name}s", shown(count))),
                _ => {}
            }
        }
        let cell = if words.is_empty() { "none".to_string() } else { words.join(", ") };
        text.push_str(&format!(" {cell} |"));
    }
    Ok(format!("{text} `{row}` |\n"))
}

/// The files with numbers, by their names.
struct Numbers(Vec<(&'static str, String)>);

impl Numbers {
    fn read(root: &Path) -> Result<Numbers> {
        let texts = KINDS.iter().map(|kind| Ok((kind.file, read(&root.join(kind.file))?)));
        texts.collect::<Result<_>>().map(Numbers)
    }

    /// A number of a row, by its column's name; `None` where none was measured.
    fn get(&self, file: &str, row: &str, column: &str) -> Result<Option<f64>> {
        let text = self.0.iter().find(|(name, _)| *name == file).map_or("", |(_, text)| text);
        let mut lines = text.lines();
        let header = lines.next().unwrap_or_default();
        let at = header.split(',').position(|name| name == column);
        let at = at.ok_or(format!("{file} has no column '{column}'"))?;
        let line = lines.find(|line| line.split(',').next() == Some(row));
        let line = line.ok_or(format!("{file} has no row '{row}'"))?;
        Ok(line.split(',').nth(at).and_then(|cell| cell.parse().ok()))
    }
}

/// A number for people: whole, or with as many digits as say something.
fn shown(number: f64) -> String {
    let digits = match number {
        _ if number >= 100.0 || number == 0.0 => 0,
        _ if number >= 1.0 => usize::from((number - number.round()).abs() >= 0.05),
        _ => 2,
    };
    format!("{number:.digits$}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers() -> Numbers {
        let calls = "row,xen_instructions,zendo_instructions,zendo_exceptions,zendo_ints,\
                     zendo_syscalls\npin,1000.20,20.25,0.00,0.00,0.02\n";
        let kernel = "row,native,zendo,xen\nfork,1000,2500,-\n";
        let columns = Place::ALL.map(|place| {
            events::KINDS.map(|(kind, _)| format!("{}_{kind}", place.column())).join(",")
        });
        let counts = "1,2,0,0,0,0,0,3,0,1.5,0,0,0,0,".repeat(2) + &["-"; 14].join(",");
        let events = format!("row,{}\nfork,{counts}\n", columns.join(","));
        let texts = [calls, kernel, &events].map(str::to_string);
        Numbers(KINDS.iter().map(|kind| kind.file).zip(texts).collect())
    }

    #[test]
    fn a_table_is_written_from_the_rows_its_comment_names() {
        let text = "a\n<!-- costs, made\npin: pin a table\n-->\nold\n<!-- end of costs -->\nb\n";
        let new = filled(text, &numbers()).unwrap();
        assert!(new.contains("| pin a table | 1000 | 20.2 | 0.02 | `pin` |\n\n<!--"), "{new}");
        assert!(new.starts_with("a\n<!-- costs, made\npin: pin a table\n-->\n\n|"), "{new}");
        assert!(new.ends_with("<!-- end of costs -->\nb\n") && !new.contains("old"));
        assert_eq!(filled(&new, &numbers()).unwrap(), new);
    }

    #[test]
    fn a_table_of_the_kernel_has_three_machines_and_one_ratio() {
        let text = "<!-- kernel costs\nfork: fork it\n-->\n<!-- end of costs -->\n";
        let new = filled(text, &numbers()).unwrap();
        assert!(new.contains("| fork it | 1000 | 2500 | - | 2.50 | `fork` |\n"), "{new}");
    }

    #[test]
    fn a_table_of_events_tells_those_that_happened() {
        let text = "<!-- kernel events\nfork: fork it\n-->\n<!-- end of costs -->\n";
        let new = filled(text, &numbers()).unwrap();
        let cell = "1 call, 2 hypercalls, 1.5 CR3 loads";
        assert!(new.contains(&format!("| fork it | {cell} | {cell} | none | `fork` |\n")), "{new}");
    }

    #[test]
    fn a_row_that_is_not_measured_is_an_error() {
        let text = "<!-- costs\nnone: x\n-->\n<!-- end of costs -->";
        assert!(filled(text, &numbers()).unwrap_err().contains("no row 'none'"));
        assert!(filled("<!-- costs\npin: x\n-->\n", &numbers()).is_err());
    }

    #[test]
    fn a_broken_citation_and_a_file_that_is_gone_are_told() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        assert_eq!(unchecked(&root, "see `xtask/src/book.rs` and `fs/tty.rs` and `a b`"), None);
        assert!(unchecked(&root, "see `xtask/src/gone.rs`").is_some_and(|t| t.contains("gone")));
        assert!(unchecked(&root, "see `xtask/src/book.rs:/fn").is_some());
        let text = "one\n```\n`\n```\ntwo\n";
        assert_eq!(prose(text).collect::<Vec<_>>(), [(1, "one"), (5, "two")]);
    }

    #[test]
    fn verbs_are_the_words_behind_the_command() {
        let text = "`cargo xtask tidy`, and cargo xtask test host\ncargo xtask diff-backends.";
        assert_eq!(verbs_in(text).collect::<Vec<_>>(), ["tidy", "test", "diff-backends"]);
    }
}
