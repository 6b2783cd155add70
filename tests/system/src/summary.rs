//! Results as a table and one closing line.

use std::fmt::Write as _;
use std::time::Duration;

/// How one step of a longer run ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was seen to work; the text is a measurement worth printing, or empty.
    Passed(String),
    /// It did not; the text says what was expected and what came.
    Failed(String),
    /// It could not be tried; the text says why.
    Skipped(String),
}

/// One row of the table.
#[derive(Clone, Debug)]
pub struct Row {
    /// What was tried.
    pub name: String,
    /// How it ended.
    pub outcome: Outcome,
    /// How long it took.
    pub took: Duration,
}

/// All rows so far.
#[derive(Clone, Debug, Default)]
pub struct Summary {
    rows: Vec<Row>,
}

impl Summary {
    /// Adds a row.
    pub fn add(&mut self, name: &str, outcome: Outcome, took: Duration) {
        self.rows.push(Row { name: name.to_string(), outcome, took });
    }

    /// Adds all rows of another summary.
    pub fn append(&mut self, mut other: Summary) {
        self.rows.append(&mut other.rows);
    }

    /// True where nothing failed.
    pub fn passed(&self) -> bool {
        !self.rows.iter().any(|row| matches!(row.outcome, Outcome::Failed(_)))
    }

    /// True where no row was added: a run that tried nothing proves nothing.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The table, one line for each row.
    pub fn table(&self) -> String {
        let width = self.rows.iter().map(|row| row.name.len()).max().unwrap_or(0);
        let mut text = String::new();
        for row in &self.rows {
            let line = row_line(row, width);
            let _ = writeln!(text, "{line}");
        }
        text
    }

    /// `N passed, N failed, N skipped`.
    pub fn closing_line(&self) -> String {
        let count = |wanted: fn(&Outcome) -> bool| {
            self.rows.iter().filter(|row| wanted(&row.outcome)).count()
        };
        format!(
            "{} passed, {} failed, {} skipped",
            count(|o| matches!(o, Outcome::Passed(_))),
            count(|o| matches!(o, Outcome::Failed(_))),
            count(|o| matches!(o, Outcome::Skipped(_)))
        )
    }
}

/// One row as text; only the first line of a long detail is shown.
pub fn row_line(row: &Row, width: usize) -> String {
    let (word, detail) = match &row.outcome {
        Outcome::Passed(detail) => ("ok", detail),
        Outcome::Failed(detail) => ("FAILED", detail),
        Outcome::Skipped(detail) => ("skipped", detail),
    };
    let first = detail.lines().next().unwrap_or("");
    let seconds = row.took.as_secs_f64();
    format!("{:<width$}  {word:<7} {seconds:7.1} s  {first}", row.name).trim_end().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Summary {
        let mut summary = Summary::default();
        let second = Duration::from_secs(1);
        summary.add("format", Outcome::Passed(String::new()), second);
        summary.add("xen", Outcome::Skipped("no package".into()), second);
        summary
    }

    #[test]
    fn the_closing_line_counts_each_kind() {
        let mut summary = sample();
        assert!(summary.passed());
        summary.add("boot", Outcome::Failed("a\nb".into()), Duration::ZERO);
        assert_eq!(summary.closing_line(), "1 passed, 1 failed, 1 skipped");
        assert!(!summary.passed());
    }

    #[test]
    fn the_table_has_one_line_for_each_row() {
        let mut summary = sample();
        summary.add("boot", Outcome::Failed("first\nsecond".into()), Duration::ZERO);
        let table = summary.table();
        assert_eq!(table.lines().count(), 3);
        assert!(table.contains("first") && !table.contains("second"));
    }
}
