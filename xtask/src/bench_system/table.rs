//! How `bench system` shows what was measured: a table, files for programs, README.md.
//!
//! `measure` and `crowd` fill in [`Values`]; a row nobody could fill says why.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::rows::{number, Bound, Spec, ROWS};

/// Rows without a requirement that README.md shows all the same.
const UNBOUND_SHOWN: &[&str] =
    &["create", "destroy", "switch_between_domains", "memory_per_domain", "density_8_mib_in_1_gib"];

/// What was measured on one hypervisor: a value, or why there is none.
#[derive(Debug, Default)]
pub struct Values(BTreeMap<&'static str, Result<f64, String>>);

impl Values {
    /// Records a value.
    ///
    /// # Panics
    /// For a name that is not in the table: a mistake in this program.
    pub fn set(&mut self, name: &'static str, value: impl Into<f64>) {
        self.put(name, Ok(value.into()));
    }

    /// Records why there is no value, unless there is one.
    pub fn miss(&mut self, names: &[&'static str], why: &str) {
        for name in names.iter().filter(|name| !self.0.contains_key(*name)).collect::<Vec<_>>() {
            self.put(name, Err(why.to_string()));
        }
    }

    fn put(&mut self, name: &'static str, value: Result<f64, String>) {
        assert!(ROWS.iter().any(|row| row.name == name), "no row is called {name}");
        self.0.insert(name, value);
    }

    fn of(&self, name: &str) -> Option<f64> {
        self.0.get(name).and_then(|value| value.as_ref().ok()).copied()
    }

    fn why(&self, name: &str) -> Option<&str> {
        self.0.get(name)?.as_ref().err().map(String::as_str)
    }
}

/// Both hypervisors, side by side.
#[derive(Debug, Default)]
pub struct Report {
    /// Ours.
    pub zendo: Values,
    /// Xen 4.17 below the same control domain.
    pub xen: Values,
}

impl Report {
    /// The table, with the reasons of what is missing below it.
    pub fn table(&self) -> String {
        let mut text = format!(
            "{:<30} {:>12} {:>12} {:>15} {:<12} {:<6}\n",
            "row", "zendo", "xen", "required", "unit", ""
        );
        let mut notes = String::new();
        for row in ROWS {
            let (zendo, xen) = (self.zendo.of(row.name), self.xen.of(row.name));
            let verdict = match zendo {
                Some(_) if row.bound == Bound::Free => "",
                Some(value) if row.bound.holds(value) => "ok",
                Some(_) => "MISSED",
                None => "",
            };
            let [zendo, xen] = [zendo, xen].map(|value| value.map_or("-".into(), number));
            let usual =
                if row.usual.is_empty() { String::new() } else { format!("[{}]", row.usual) };
            let line = format!(
                "{:<30} {zendo:>12} {xen:>12} {:>15} {:<12} {verdict:<6} {usual}",
                row.name,
                row.bound.text(),
                row.unit
            );
            text.push_str(line.trim_end());
            text.push('\n');
            for (which, values) in [("zendo", &self.zendo), ("xen", &self.xen)] {
                if let Some(why) = values.why(row.name) {
                    // Writing to a string cannot fail.
                    let _ = writeln!(notes, "{} on {which}: not measured: {why}", row.name);
                }
            }
        }
        text + &notes
    }

    /// The rows a reader of README.md wants, as a table in Markdown.
    pub fn markdown(&self) -> String {
        let mut text = String::from(
            "| the whole | Xen 4.17, same dom0 | Xen 4.17, Linux, `xl` | Zendo | required |\n\
             | --- | --- | --- | --- | --- |\n",
        );
        let shown = |row: &&Spec| row.bound != Bound::Free || UNBOUND_SHOWN.contains(&row.name);
        for row in ROWS.iter().filter(shown) {
            let value = |values: &Values| values.of(row.name).map_or("-".into(), number);
            let missed = self.zendo.of(row.name).is_some_and(|value| !row.bound.holds(value));
            // Writing to a string cannot fail.
            let _ = writeln!(
                text,
                "| {}, {} | {} | {} | {} | {}{} |",
                row.name.replace('_', " "),
                row.unit,
                value(&self.xen),
                row.usual,
                value(&self.zendo),
                row.bound.text(),
                if missed { ", missed" } else { "" }
            );
        }
        text
    }

    /// The rows of Zendo that miss what is required, or were wanted and not measured.
    pub fn missed(&self) -> Vec<String> {
        let judge = |row: &Spec| match (self.zendo.of(row.name), self.zendo.why(row.name)) {
            (Some(value), _) if !row.bound.holds(value) => {
                Some(format!("{}: {} {}, {}", row.name, number(value), row.unit, row.bound.text()))
            }
            (None, Some(why)) => Some(format!("{}: not measured: {why}", row.name)),
            _ => None,
        };
        ROWS.iter().filter_map(judge).collect()
    }

    /// The same for programs: one line for each row.
    pub fn csv(&self) -> String {
        let mut text = String::from("name,unit,zendo,xen,bound,limit\n");
        for row in ROWS {
            let value =
                |values: &Values| values.of(row.name).map_or(String::new(), |v| v.to_string());
            let (bound, limit) = bound_words(row.bound);
            let (zendo, xen) = (value(&self.zendo), value(&self.xen));
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{},{},{zendo},{xen},{bound},{limit}", row.name, row.unit);
        }
        text
    }

    /// The same as a list of objects; what was not measured is null.
    pub fn json(&self) -> String {
        let value =
            |values: &Values, name| values.of(name).map_or("null".into(), |v| v.to_string());
        let row = |row: &Spec| {
            let (bound, limit) = bound_words(row.bound);
            let limit = if limit.is_empty() { "null".to_string() } else { limit };
            format!(
                "  {{\"name\": \"{}\", \"unit\": \"{}\", \"zendo\": {}, \"xen\": {}, \"bound\": \
                 \"{bound}\", \"limit\": {limit}}}",
                row.name,
                row.unit,
                value(&self.zendo, row.name),
                value(&self.xen, row.name)
            )
        };
        format!("[\n{}\n]\n", ROWS.iter().map(row).collect::<Vec<_>>().join(",\n"))
    }
}

fn bound_words(bound: Bound) -> (&'static str, String) {
    match bound {
        Bound::Free => ("none", String::new()),
        Bound::AtMost(limit) => ("at most", limit.to_string()),
        Bound::AtLeast(limit) => ("at least", limit.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> Report {
        let mut report = Report::default();
        report.zendo.set("create_to_first_instruction", 1_596_031.0);
        report.zendo.set("image_hypervisor", 500_001.0);
        report.zendo.miss(&["destroy", "image_hypervisor"], "nobody was there");
        report.xen.set("switch_between_domains", 3500.25);
        report
    }

    #[test]
    fn a_row_over_its_bound_or_without_its_value_is_missed() {
        let missed = report().missed();
        assert_eq!(missed.len(), 2, "{missed:?}");
        assert_eq!(missed[0], "destroy: not measured: nobody was there");
        assert_eq!(missed[1], "image_hypervisor: 500,001 bytes, <= 500,000");
    }

    #[test]
    fn the_table_shows_values_verdicts_and_reasons() {
        let table = report().table();
        let line =
            |name: &str| table.lines().find(|line| line.starts_with(name)).unwrap_or_default();
        assert!(line("create_to_first_instruction").contains("1,596,031"));
        assert!(line("create_to_first_instruction").ends_with("ok"));
        assert!(line("image_hypervisor").contains("MISSED"));
        assert!(line("switch_between_domains").contains("3,500"));
        assert!(table.contains("destroy on zendo: not measured: nobody was there"));
    }

    #[test]
    fn files_have_every_row_and_no_value_where_there_is_none() {
        let (csv, json) = (report().csv(), report().json());
        assert_eq!(csv.lines().count(), ROWS.len() + 1);
        assert!(csv.contains("\nimage_hypervisor,bytes,500001,,at most,500000\n"));
        assert!(csv.contains("\nswitch_between_domains,instructions,,3500.25,none,\n"));
        assert_eq!(json.matches("\"name\"").count(), ROWS.len());
        assert!(json
            .contains("\"zendo\": null, \"xen\": 3500.25, \"bound\": \"none\", \"limit\": null"));
    }

    #[test]
    fn the_readme_shows_every_row_with_a_requirement() {
        let text = report().markdown();
        assert!(text.contains(
            "| image hypervisor, bytes | - | 2,562,336 | 500,001 | <= 500,000, missed |"
        ));
        assert!(text.contains("| switch between domains, instructions | 3,500 |  | - |  |"));
        let bound = ROWS.iter().filter(|row| row.bound != Bound::Free).count();
        assert_eq!(text.lines().count(), 2 + bound + UNBOUND_SHOWN.len());
        let known = |name: &&str| ROWS.iter().any(|row| row.name == *name);
        assert!(UNBOUND_SHOWN.iter().all(known));
    }
}
