//! What `bench io` found: a table, files for programs, README.md.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::rows::{number, Bound, Spec, ROWS};

/// Values by row, or why there is none.
#[derive(Debug, Default)]
pub struct Report(BTreeMap<&'static str, Result<f64, String>>);

impl Report {
    /// Records a value.
    ///
    /// # Panics
    /// For a name that is not in the table: a mistake in this program.
    pub fn set(&mut self, name: &'static str, value: f64) {
        assert!(ROWS.iter().any(|row| row.name == name), "no row is called {name}");
        self.0.insert(name, Ok(value));
    }

    /// Records why rows have no value, unless they have one.
    pub fn miss(&mut self, names: &[&'static str], why: &str) {
        for name in names {
            self.0.entry(name).or_insert_with(|| Err(why.to_string()));
        }
    }

    fn value(&self, row: &Spec) -> Option<f64> {
        self.0.get(row.name)?.as_ref().ok().copied()
    }

    /// For people.
    pub fn table(&self) -> String {
        let mut text = format!(
            "{:<52} {:>10} {:>10} {:>10} {}\n",
            "", "Xen+Linux", "Zendo", "required", "unit"
        );
        let mut reasons = String::new();
        for row in ROWS.iter().filter(|row| self.0.contains_key(row.name)) {
            let value = self.value(row);
            let verdict = match value {
                Some(value) if !row.bound.holds(value) => "MISSED",
                Some(_) if row.bound != Bound::Told => "ok",
                _ => "",
            };
            let shown = value.map_or("-".into(), number);
            let line = format!(
                "{:<52} {:>10} {shown:>10} {:>10} {:<12} {verdict}",
                row.what,
                row.usual,
                row.bound.text(),
                row.unit
            );
            text.push_str(line.trim_end());
            text.push('\n');
            if let Some(Err(why)) = self.0.get(row.name) {
                // Writing to a string cannot fail.
                let _ = writeln!(reasons, "{}: not measured: {why}", row.name);
            }
        }
        text + &reasons
    }

    /// The rows with a requirement, for README.md.
    pub fn markdown(&self) -> String {
        let mut text = String::from(
            "| disks and networks | Xen 4.17, Linux 6.1 dom0 | Zendo | required |\n\
             | --- | --- | --- | --- |\n",
        );
        for row in ROWS.iter().filter(|row| row.bound != Bound::Told) {
            let value = self.value(row).map_or("-".into(), number);
            let unit = if row.unit.is_empty() { String::new() } else { format!(", {}", row.unit) };
            let missed = self.value(row).is_some_and(|value| !row.bound.holds(value));
            let missed = if missed { ", missed" } else { "" };
            let (what, usual, bound) = (row.what, row.usual, row.bound.text());
            // Writing to a string cannot fail.
            let _ = writeln!(text, "| {what}{unit} | {usual} | {value} | {bound}{missed} |");
        }
        text
    }

    /// For programs.
    pub fn csv(&self) -> String {
        let mut text = String::from("name,unit,zendo,required\n");
        for row in ROWS {
            let value = self.value(row).map_or(String::new(), |value| value.to_string());
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{},{},{value},{}", row.name, row.unit, row.bound.text());
        }
        text
    }

    /// What misses its requirement, or was wanted and not measured.
    pub fn missed(&self) -> Vec<String> {
        let judge = |row: &Spec| match self.0.get(row.name)? {
            Ok(value) if row.bound.holds(*value) => None,
            Ok(value) => Some(format!("{}: {}, {}", row.name, number(*value), row.bound.text())),
            Err(why) => Some(format!("{}: not measured: {why}", row.name)),
        };
        ROWS.iter().filter_map(judge).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_misses_is_said_everywhere() {
        let mut report = Report::default();
        report.set("ram_4k_added", 75.0);
        report.set("ram_read_share", 0.8);
        report.miss(&["create", "ram_read_share"], "no prompt");
        assert_eq!(
            report.missed(),
            ["ram_4k_added: 75.0, <= 60", "create: not measured: no prompt"]
        );
        assert!(report.table().contains("MISSED"));
        assert!(report.markdown().contains("| 75.0 | <= 60, missed |"));
        assert!(report.csv().contains("ram_read_share,,0.8,>= 0.6\n"));
    }

    #[test]
    fn names_are_unique() {
        let names: std::collections::BTreeSet<&str> = ROWS.iter().map(|row| row.name).collect();
        assert_eq!(names.len(), ROWS.len());
    }
}
