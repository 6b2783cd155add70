//! Figures stored in the repository: `row,instructions`, one line for each row.
//!
//! `tests/bench/baseline-rustc-RELEASE.csv` are Zendo's of the last accepted change, as that compiler
//! makes it, which no change may exceed by much; `tests/bench/xen-4.17.csv` are those of Xen measured once with another guest, against which
//! our guest's honesty is checked; `tests/bench/reasons.txt` says why rows differ from these.
//! `--save NAME` writes more of them.

use std::fs;
use std::path::PathBuf;

use crate::paths::Paths;
use crate::Result;

/// The name of the figures that are guarded.
pub const BASELINE: &str = "baseline";

/// The name of Xen's figures.
pub const REFERENCE: &str = "xen-4.17";

/// How much a row may rise.
pub const TOLERANCE: f64 = 1.02;

/// How much it may rise against the baseline of another compiler.
const OTHER_COMPILER: f64 = 1.15;

const HEADER: &str = "row,instructions";

/// Rows and their instructions, in the order of the file.
pub type Figures = Vec<(String, f64)>;

/// Where figures of a name are.
pub fn path(paths: &Paths, name: &str) -> Result<PathBuf> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    match !name.is_empty() && !name.starts_with('.') && name.chars().all(plain) {
        true => Ok(paths.root.join("tests/bench").join(format!("{name}.csv"))),
        false => Err(format!("'{name}' cannot be the name of a file")),
    }
}

/// The file name of the baseline for a compiler.
pub fn baseline_of(release: &str) -> String {
    format!("{BASELINE}-rustc-{release}")
}

/// The stored baseline for a compiler, or else that of the latest there is one for, and how much more
/// than it is tolerated.
pub fn baseline(paths: &Paths, release: &str) -> Result<(String, f64)> {
    let own = baseline_of(release);
    if path(paths, &own)?.is_file() {
        return Ok((own, TOLERANCE));
    }
    let folder = paths.root.join("tests/bench");
    let files = folder.read_dir().map_err(|error| format!("{}: {error}", folder.display()))?;
    let stem = |file: fs::DirEntry| Some(file.path().file_stem()?.to_string_lossy().into_owned());
    let stored = files.flatten().filter_map(stem).filter(|name| name.starts_with(&baseline_of("")));
    let latest = stored.max().ok_or(format!("{}: no baseline is stored", folder.display()))?;
    Ok((latest, OTHER_COMPILER))
}

/// Reads figures.
pub fn load(paths: &Paths, name: &str) -> Result<Figures> {
    let path = path(paths, name)?;
    let text = fs::read_to_string(&path).map_err(|error| {
        format!("{}: {error} (`cargo xtask bench --save {name}` makes it)", path.display())
    })?;
    read(&text).map_err(|error| format!("{}: {error}", path.display()))
}

/// Why rows on Xen differ from the reference: lines of `row: reason`, and comments with `#`.
pub fn reasons(paths: &Paths) -> Result<Vec<(String, String)>> {
    let path = paths.root.join("tests/bench/reasons.txt");
    let text = fs::read_to_string(&path);
    let text = text.map_err(|error| format!("{}: {error}", path.display()))?;
    let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    let reason = |line: &str| {
        let (row, reason) = line.split_once(": ")?;
        Some((row.to_string(), reason.trim().to_string()))
    };
    lines
        .map(|line| {
            reason(line).ok_or(format!("{}: '{line}' is no row and reason", path.display()))
        })
        .collect()
}

/// Writes figures.
pub fn save(paths: &Paths, name: &str, figures: &Figures) -> Result<PathBuf> {
    let path = path(paths, name)?;
    let written = fs::write(&path, write(figures));
    written.map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(path)
}

fn read(text: &str) -> Result<Figures> {
    let mut lines = text.lines();
    if lines.next() != Some(HEADER) {
        return Err(format!("the first line is not '{HEADER}'"));
    }
    let figure = |line: &str| {
        let (name, number) = line.split_once(',')?;
        let number: f64 = number.parse().ok()?;
        (number > 0.0).then(|| (name.to_string(), number))
    };
    lines.map(|line| figure(line).ok_or(format!("'{line}' is no row and number"))).collect()
}

fn write(figures: &Figures) -> String {
    let lines = figures.iter().map(|(name, number)| format!("{name},{number:.2}\n"));
    std::iter::once(format!("{HEADER}\n")).chain(lines).collect()
}

/// How figures differ from stored ones.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Difference {
    /// Rows that need more than is tolerated: before, now.
    pub risen: Vec<(String, f64, f64)>,
    /// Rows that need less by more than that.
    pub fallen: Vec<(String, f64, f64)>,
    /// Stored rows that were not measured.
    pub missing: Vec<String>,
    /// Measured rows that are not stored.
    pub new: Vec<String>,
}

/// Compares figures with stored ones; a row may be more or less by the factor `tolerance`.
pub fn compare(stored: &Figures, now: &Figures, tolerance: f64) -> Difference {
    let find = |list: &Figures, name: &str| list.iter().find(|(other, _)| other == name).cloned();
    let mut difference = Difference::default();
    for (name, before) in stored {
        match find(now, name) {
            None => difference.missing.push(name.clone()),
            Some((_, after)) if after > before * tolerance => {
                difference.risen.push((name.clone(), *before, after));
            }
            Some((_, after)) if after * tolerance < *before => {
                difference.fallen.push((name.clone(), *before, after));
            }
            Some(_) => {}
        }
    }
    let unknown = now.iter().filter(|(name, _)| find(stored, name).is_none());
    difference.new = unknown.map(|(name, _)| name.clone()).collect();
    difference
}

impl Difference {
    /// One line for each difference; nothing if there is none.
    pub fn report(&self) -> String {
        let moved = |word: &str, rows: &[(String, f64, f64)]| -> String {
            let line = |(name, before, after): &(String, f64, f64)| {
                let percent = (after / before - 1.0) * 100.0;
                format!("  {word} {name}: {before:.1} before, {after:.1} now ({percent:+.1} %)\n")
            };
            rows.iter().map(line).collect()
        };
        let named = |word: &str, rows: &[String]| -> String {
            rows.iter().map(|name| format!("  {word} {name}\n")).collect()
        };
        moved("risen", &self.risen)
            + &moved("fallen", &self.fallen)
            + &named("not measured:", &self.missing)
            + &named("not stored:", &self.new)
    }

    /// Whether a change that shows this difference from the baseline may be taken.
    pub fn acceptable(&self) -> bool {
        self.risen.is_empty() && self.missing.is_empty() && self.new.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figures(list: &[(&str, f64)]) -> Figures {
        list.iter().map(|(name, number)| (name.to_string(), *number)).collect()
    }

    #[test]
    fn what_is_written_is_read() {
        let some = figures(&[("hc_xen_version", 105.0), ("multicall_32_per_entry", 58.44)]);
        assert_eq!(read(&write(&some)), Ok(some));
        assert!(read("row,ns\n").is_err());
        let error = read("row,instructions\nhc_xen_version,fast\n").expect_err("no number");
        assert!(error.contains("hc_xen_version,fast"), "{error}");
    }

    #[test]
    fn two_percent_more_is_too_much_and_exactly_two_is_not() {
        let stored = figures(&[("a", 100.0), ("b", 100.0), ("c", 100.0), ("d", 100.0)]);
        let now = figures(&[("a", 102.0), ("b", 102.1), ("c", 90.0), ("e", 1.0)]);
        let difference = compare(&stored, &now, TOLERANCE);
        assert_eq!(difference.risen, [("b".to_string(), 100.0, 102.1)]);
        assert_eq!(difference.fallen, [("c".to_string(), 100.0, 90.0)]);
        assert_eq!(
            (difference.missing.as_slice(), difference.new.as_slice()),
            (&["d".to_string()][..], &["e".to_string()][..])
        );
        assert!(!difference.acceptable());
        let report = difference.report();
        assert!(report.contains("risen b: 100.0 before, 102.1 now (+2.1 %)"), "{report}");
        assert!(report.contains("not measured: d") && report.contains("not stored: e"));
    }

    #[test]
    fn less_is_always_acceptable() {
        let difference = compare(&figures(&[("a", 100.0)]), &figures(&[("a", 50.0)]), TOLERANCE);
        assert!(difference.acceptable());
        let same = compare(&figures(&[("a", 100.0)]), &figures(&[("a", 100.5)]), TOLERANCE);
        assert_eq!(same, Difference::default());
        assert_eq!(same.report(), "");
    }

    #[test]
    fn another_compiler_is_compared_with_the_latest_baseline_and_more_patience() {
        let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..");
        let paths = Paths { target: root.join("target"), root };
        let (name, tolerance) = baseline(&paths, "0.0.0").expect("baselines are stored");
        assert!(name.starts_with("baseline-rustc-1.") && tolerance > TOLERANCE, "{name}");
        let release = name.trim_start_matches("baseline-rustc-").to_string();
        assert_eq!(baseline(&paths, &release), Ok((name, TOLERANCE)));
    }

    #[test]
    fn a_name_is_a_file_name_and_no_path() {
        let root = PathBuf::from("/x");
        let paths = Paths { target: root.join("target"), root };
        assert!(path(&paths, "../etc").is_err() && path(&paths, "").is_err());
        assert!(path(&paths, "before-the-change").is_ok());
    }
}
