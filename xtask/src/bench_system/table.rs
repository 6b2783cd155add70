//! The rows of `bench system`: what each is, what is required, and how a report shows them.
//!
//! `measure` and `crowd` fill in [`Values`]; a row nobody could fill says why. The figures that
//! bound a row, and those of the usual toolstack on Xen, are requirements of this project and are
//! written down here only.

use std::collections::BTreeMap;
use std::fmt::Write;

/// What a row may be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Bound {
    /// No requirement.
    Free,
    /// This or less.
    AtMost(f64),
    /// This or more.
    AtLeast(f64),
}

impl Bound {
    fn holds(self, value: f64) -> bool {
        match self {
            Bound::Free => true,
            Bound::AtMost(limit) => value <= limit,
            Bound::AtLeast(limit) => value >= limit,
        }
    }

    fn text(self) -> String {
        match self {
            Bound::Free => String::new(),
            Bound::AtMost(limit) => format!("<= {}", number(limit)),
            Bound::AtLeast(limit) => format!(">= {}", number(limit)),
        }
    }
}

/// One row.
#[derive(Clone, Copy, Debug)]
pub struct Spec {
    /// Its name, also in the files.
    pub name: &'static str,
    /// What it counts.
    pub unit: &'static str,
    /// What is required.
    pub bound: Bound,
    /// The figure of the usual system of Xen, Linux and `xl`, where there is one.
    pub usual: &'static str,
}

/// Hypervisor's memory at `mib` of RAM, in KiB: at most 1 MiB and 0.78 % of it.
const fn memory_bound(mib: u32) -> Bound {
    Bound::AtMost(1024.0 + 0.0078 * 1024.0 * mib as f64)
}

const fn row(name: &'static str, unit: &'static str, bound: Bound) -> Spec {
    Spec { name, unit, bound, usual: "" }
}

const fn usual(spec: Spec, usual: &'static str) -> Spec {
    Spec { usual, ..spec }
}

const INSTRUCTIONS: &str = "instructions";
const MS: &str = "ms";
const KIB: &str = "KiB";

/// All rows, in the order of the report.
pub const ROWS: &[Spec] = &[
    usual(
        row("entry_to_dom0", INSTRUCTIONS, Bound::AtMost(8e6)),
        "55 million, 255 million with calibration",
    ),
    usual(row("entry_to_dom0_wall", MS, Bound::AtMost(80.0)), "430 to 2300"),
    row("power_on_to_prompt", MS, Bound::AtMost(1500.0)),
    row("create", INSTRUCTIONS, Bound::Free),
    row("create_to_first_instruction", INSTRUCTIONS, Bound::AtMost(6e6)),
    row("create_1st_of_100", INSTRUCTIONS, Bound::Free),
    row("create_100th_of_100", INSTRUCTIONS, Bound::Free),
    row("create_spread_over_100", "%", Bound::AtMost(10.0)),
    usual(row("create_wall", MS, Bound::AtMost(20.0)), "360, 2200 for the 188th"),
    row("create_wall_first", MS, Bound::Free),
    row("destroy", INSTRUCTIONS, Bound::Free),
    usual(row("destroy_wall", MS, Bound::AtMost(10.0)), "200"),
    row("list", INSTRUCTIONS, Bound::Free),
    usual(row("list_wall", MS, Bound::AtMost(2.0)), "110"),
    row("pause", INSTRUCTIONS, Bound::Free),
    usual(row("pause_wall", MS, Bound::AtMost(2.0)), "110"),
    row("unpause", INSTRUCTIONS, Bound::Free),
    usual(row("unpause_wall", MS, Bound::AtMost(2.0)), "110"),
    row("switch_between_domains", INSTRUCTIONS, Bound::Free),
    row("memory_at_256_mib", KIB, memory_bound(256)),
    row("memory_at_512_mib", KIB, memory_bound(512)),
    usual(row("memory_at_1024_mib", KIB, memory_bound(1024)), "13.0 MiB"),
    row("memory_at_2048_mib", KIB, memory_bound(2048)),
    row("memory_at_4096_mib", KIB, memory_bound(4096)),
    row("memory_per_domain", KIB, Bound::Free),
    row("memory_per_domain_in_dom0", KIB, Bound::Free),
    usual(row("dom0_memory", "MiB", Bound::AtMost(32.0)), "1024"),
    usual(row("dom0_memory_used", "MiB", Bound::Free), "54"),
    usual(row("image_hypervisor", "bytes", Bound::AtMost(500_000.0)), "2,562,336"),
    row("image_dom0", "bytes", Bound::Free),
    row("density_8_mib_in_1_gib", "domains", Bound::Free),
    row("density_8_mib_in_1_gib_wall", MS, Bound::Free),
    usual(row("density_16_mib_in_4_gib", "domains", Bound::AtLeast(235.0)), "188"),
    usual(row("density_16_mib_in_4_gib_wall", MS, Bound::AtMost(5000.0)), "197,000"),
];

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

/// A number for reading: whole from a hundred on, with commas.
fn number(value: f64) -> String {
    if value < 100.0 {
        let text = format!("{value:.2}");
        return text.trim_end_matches('0').trim_end_matches('.').to_string();
    }
    let digits = format!("{value:.0}");
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
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
    fn numbers_are_readable() {
        let cases =
            [(0.0, "0"), (2.5, "2.5"), (99.999, "100"), (1234.4, "1,234"), (8e6, "8,000,000")];
        for (value, text) in cases {
            assert_eq!(number(value), text);
        }
    }

    #[test]
    fn a_row_over_its_bound_or_without_its_value_is_missed() {
        let missed = report().missed();
        assert_eq!(missed.len(), 2, "{missed:?}");
        assert_eq!(missed[0], "destroy: not measured: nobody was there");
        assert_eq!(missed[1], "image_hypervisor: 500,001 bytes, <= 500,000");
    }

    #[test]
    fn a_bound_includes_its_limit() {
        assert!(Bound::AtMost(10.0).holds(10.0) && !Bound::AtMost(10.0).holds(10.1));
        assert!(Bound::AtLeast(235.0).holds(235.0) && !Bound::AtLeast(235.0).holds(234.0));
        assert_eq!(memory_bound(1024), Bound::AtMost(1024.0 + 8178.8928));
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

    #[test]
    fn names_are_unique() {
        let names: std::collections::BTreeSet<_> = ROWS.iter().map(|row| row.name).collect();
        assert_eq!(names.len(), ROWS.len());
    }
}
