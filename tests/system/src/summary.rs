//! Results as a table, what was wrong, and one closing line.
//!
//! The tests run real machines against the clock of a host that others use too. Where a whole run is
//! judged, a step that fails is tried again, and one that then works each time is *unsteady*: it is
//! counted and shown with what it said, and more than a few of them fail the run.

use std::fmt::Write as _;
use std::time::Duration;

/// How one step of a longer run ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was seen to work; the text is a measurement worth printing, or empty.
    Passed(String),
    /// It failed once and worked each time it was tried again; the text is that of the failure.
    Unsteady(String),
    /// It did not; the text says what was expected and what came.
    Failed(String),
    /// It could not be tried; the text says why.
    Skipped(String),
}

/// How often a step that failed must work to count as unsteady only.
const TRIED_AGAIN: usize = 2;

/// A run with more unsteady steps than this has failed.
const MOST_UNSTEADY: usize = 2;

impl Outcome {
    /// Tries a step again that has failed.
    pub fn or_again(self, mut step: impl FnMut() -> Outcome) -> Outcome {
        let Outcome::Failed(first) = self else { return self };
        for _ in 0..TRIED_AGAIN {
            match step() {
                Outcome::Failed(then) => {
                    return Outcome::Failed(format!("{first}\nand when tried again: {then}"))
                }
                Outcome::Skipped(why) => return Outcome::Failed(format!("{first}\nthen: {why}")),
                Outcome::Passed(_) | Outcome::Unsteady(_) => {}
            }
        }
        Outcome::Unsteady(first)
    }
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

    /// True where nothing failed, and hardly anything was unsteady.
    pub fn passed(&self) -> bool {
        let failed = self.count(|outcome| matches!(outcome, Outcome::Failed(_)));
        failed == 0 && self.unsteady() <= MOST_UNSTEADY
    }

    fn unsteady(&self) -> usize {
        self.count(|outcome| matches!(outcome, Outcome::Unsteady(_)))
    }

    fn count(&self, wanted: fn(&Outcome) -> bool) -> usize {
        self.rows.iter().filter(|row| wanted(&row.outcome)).count()
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

    /// What failed or was unsteady and what it said: the end of a long report is what is read first.
    pub fn complaints(&self) -> String {
        let mut text = String::new();
        for row in &self.rows {
            let (word, said) = match &row.outcome {
                Outcome::Failed(said) => ("failed", said),
                Outcome::Unsteady(said) => ("unsteady", said),
                Outcome::Passed(_) | Outcome::Skipped(_) => continue,
            };
            let _ = writeln!(text, "{word}: {}\n{}", row.name, excerpt(said));
        }
        text
    }

    /// `N passed, N failed, N skipped`, and how many of the first were unsteady, if any.
    pub fn closing_line(&self) -> String {
        let unsteady = self.unsteady();
        let passed = unsteady + self.count(|outcome| matches!(outcome, Outcome::Passed(_)));
        let failed = self.count(|outcome| matches!(outcome, Outcome::Failed(_)));
        let skipped = self.count(|outcome| matches!(outcome, Outcome::Skipped(_)));
        let aside = match unsteady {
            0 => String::new(),
            _ => format!(" ({unsteady} unsteady, {MOST_UNSTEADY} are let pass)"),
        };
        format!("{passed} passed{aside}, {failed} failed, {skipped} skipped")
    }
}

/// Lines of what a failed step said that are shown at the end, from its start and from its end, and
/// characters of each.
const HEAD: usize = 12;
const TAIL: usize = 8;
const COLUMNS: usize = 200;

/// The two ends of a text, indented.
fn excerpt(said: &str) -> String {
    let lines: Vec<&str> = said.lines().collect();
    let from = lines.len().saturating_sub(TAIL).max(HEAD);
    let cut = |line: &&str| format!("    {}", line.chars().take(COLUMNS).collect::<String>());
    let mut shown: Vec<String> = lines.iter().take(HEAD).map(cut).collect();
    if from > HEAD {
        shown.push(format!("    ... {} lines ...", from - HEAD));
    }
    shown.extend(lines.iter().skip(from).map(cut));
    shown.join("\n")
}

/// One row as text; only the first line of a long detail is shown.
pub fn row_line(row: &Row, width: usize) -> String {
    let (word, detail) = match &row.outcome {
        Outcome::Passed(detail) => ("ok", detail),
        Outcome::Unsteady(detail) => ("unsteady", detail),
        Outcome::Failed(detail) => ("FAILED", detail),
        Outcome::Skipped(detail) => ("skipped", detail),
    };
    let first = detail.lines().next().unwrap_or("");
    let seconds = row.took.as_secs_f64();
    format!("{:<width$}  {word:<8} {seconds:7.1} s  {first}", row.name).trim_end().to_string()
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

    #[test]
    fn what_works_when_tried_again_is_unsteady() {
        let mut times = 0;
        let steady = Outcome::Passed("x".into()).or_again(|| unreachable!("it passed"));
        assert_eq!(steady, Outcome::Passed("x".into()));
        let unsteady = Outcome::Failed("late".into()).or_again(|| {
            times += 1;
            Outcome::Passed(String::new())
        });
        assert_eq!((unsteady, times), (Outcome::Unsteady("late".into()), TRIED_AGAIN));
    }

    #[test]
    fn what_fails_again_has_failed() {
        let mut answers = [Outcome::Passed(String::new()), Outcome::Failed("b".into())].into_iter();
        let outcome = Outcome::Failed("a".into()).or_again(|| answers.next().unwrap());
        assert_eq!(outcome, Outcome::Failed("a\nand when tried again: b".into()));
    }

    #[test]
    fn a_few_unsteady_steps_are_let_pass() {
        let mut summary = sample();
        for _ in 0..MOST_UNSTEADY {
            summary.add("boot", Outcome::Unsteady("late".into()), Duration::ZERO);
        }
        assert!(summary.passed());
        let line = summary.closing_line();
        assert_eq!(line, "3 passed (2 unsteady, 2 are let pass), 0 failed, 1 skipped");
        summary.add("boot", Outcome::Unsteady("late".into()), Duration::ZERO);
        assert!(!summary.passed());
    }

    #[test]
    fn complaints_show_both_ends_of_a_long_text() {
        let mut summary = sample();
        assert_eq!(summary.complaints(), "");
        let text: Vec<String> = (0..50).map(|at| format!("line {at}")).collect();
        summary.add("boot", Outcome::Failed(text.join("\n")), Duration::ZERO);
        summary.add("demo", Outcome::Unsteady("late".into()), Duration::ZERO);
        let shown = summary.complaints();
        assert!(shown.starts_with("failed: boot\n    line 0\n"));
        assert!(shown.contains("    ... 30 lines ...\n    line 42\n"));
        assert!(shown.ends_with("    line 49\nunsteady: demo\n    late\n"));
    }
}
