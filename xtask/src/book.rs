//! `book`: the numbers in the book of the teaching kernel, and what `tidy` asks of its chapters.
//!
//! A chapter names rows of `docs/bench.csv` in a comment, and the table behind it is written from them:
//! nobody types a number, and `tidy` fails when one is old. Chapters are read as plain text; mdBook is
//! not needed for anything.

use std::fs;
use std::path::{Path, PathBuf};

use crate::args::Args;
use crate::paths::Paths;
use crate::Result;

/// Where the chapters are.
const FOLDER: &str = "pvkernel/book/src";
/// The list of them.
const SUMMARY: &str = "SUMMARY.md";
/// The numbers.
const NUMBERS: &str = "docs/bench.csv";

const BEGIN: &str = "<!-- costs";
const BEGIN_END: &str = "-->\n";
const END: &str = "<!-- end of costs -->";

/// What every numbered chapter has.
const HEADINGS: &[&str] = &["## Code", "## Real world", "## Exercises"];

/// The verb.
pub fn run(args: &mut Args) -> Result<()> {
    args.finish()?;
    let root = Paths::find()?.root;
    let written = update(&root)?;
    println!("book: {} chapters, {written} of them written anew", chapters(&root)?.len());
    Ok(())
}

/// Writes the tables of all chapters anew; how many changed.
pub fn update(root: &Path) -> Result<usize> {
    let numbers = read(&root.join(NUMBERS))?;
    let mut written = 0;
    for path in chapters(root)? {
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
    let (numbers, summary) = (read(&root.join(NUMBERS))?, read(&root.join(FOLDER).join(SUMMARY))?);
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
        match filled(&text, &numbers) {
            Ok(new) if new == text => {}
            Ok(_) => say(format!("its numbers are not those of {NUMBERS}: `cargo xtask book`")),
            Err(what) => say(what),
        }
        for verb in verbs_in(&text).filter(|verb| !verbs.contains(verb)) {
            say(format!("`cargo xtask {verb}`: there is no such verb"));
        }
    }
    Ok(found)
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
fn filled(text: &str, numbers: &str) -> Result<String> {
    let mut new = String::new();
    let mut rest = text;
    while let Some((before, behind)) = rest.split_once(BEGIN) {
        let missing = |what: &str| format!("'{BEGIN}' without '{what}' behind it");
        let (list, behind) = behind.split_once(BEGIN_END).ok_or(missing(BEGIN_END.trim()))?;
        let (_, behind) = behind.split_once(END).ok_or(missing(END))?;
        new.push_str(&format!("{before}{BEGIN}{list}{BEGIN_END}{}{END}", table(list, numbers)?));
        rest = behind;
    }
    new.push_str(rest);
    Ok(new)
}

/// The table for a list of `row: what it is`.
fn table(list: &str, numbers: &str) -> Result<String> {
    let mut text = String::from(
        "\n| instructions, with the guest's half | Xen 4.17 | Zendo | entries | row |\n\
         | --- | --- | --- | --- | --- |\n",
    );
    // The first line belongs to the comment's opening words.
    for line in list.lines().skip(1).filter(|line| !line.trim().is_empty()) {
        let (row, what) = line.split_once(": ").ok_or(format!("'{line}' is not 'row: what'"))?;
        let cell = |column: &str| number(numbers, row, column);
        let (xen, zendo) = (cell("xen_instructions")?, cell("zendo_instructions")?);
        let entries = cell("zendo_exceptions")? + cell("zendo_ints")? + cell("zendo_syscalls")?;
        let [xen, zendo, entries] = [xen, zendo, entries].map(shown);
        text.push_str(&format!("| {what} | {xen} | {zendo} | {entries} | `{row}` |\n"));
    }
    text.push('\n');
    Ok(text)
}

/// A number of a row, by its column's name.
fn number(numbers: &str, row: &str, column: &str) -> Result<f64> {
    let mut lines = numbers.lines();
    let header = lines.next().unwrap_or_default();
    let at = header.split(',').position(|name| name == column);
    let at = at.ok_or(format!("{NUMBERS} has no column '{column}'"))?;
    let line = lines.find(|line| line.split(',').next() == Some(row));
    let line = line.ok_or(format!("{NUMBERS} has no row '{row}'"))?;
    let cell = line.split(',').nth(at).and_then(|cell| cell.parse().ok());
    cell.ok_or(format!("{NUMBERS}: row '{row}' has no number in '{column}'"))
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

    const NUMBERS: &str = "row,xen_instructions,zendo_instructions,zendo_exceptions,zendo_ints,\
                           zendo_syscalls\npin,1000.20,20.25,0.00,0.00,0.02\n";

    #[test]
    fn a_table_is_written_from_the_rows_its_comment_names() {
        let text = "a\n<!-- costs, made\npin: pin a table\n-->\nold\n<!-- end of costs -->\nb\n";
        let new = filled(text, NUMBERS).unwrap();
        assert!(new.contains("| pin a table | 1000 | 20.2 | 0.02 | `pin` |\n\n<!--"), "{new}");
        assert!(new.starts_with("a\n<!-- costs, made\npin: pin a table\n-->\n\n|"), "{new}");
        assert!(new.ends_with("<!-- end of costs -->\nb\n") && !new.contains("old"));
        assert_eq!(filled(&new, NUMBERS).unwrap(), new);
    }

    #[test]
    fn a_row_that_is_not_measured_is_an_error() {
        let text = "<!-- costs\nnone: x\n-->\n<!-- end of costs -->";
        assert!(filled(text, NUMBERS).unwrap_err().contains("no row 'none'"));
        assert!(filled("<!-- costs\npin: x\n-->\n", NUMBERS).is_err());
    }

    #[test]
    fn verbs_are_the_words_behind_the_command() {
        let text = "`cargo xtask tidy`, and cargo xtask test host\ncargo xtask diff-backends.";
        assert_eq!(verbs_in(text).collect::<Vec<_>>(), ["tidy", "test", "diff-backends"]);
    }
}
