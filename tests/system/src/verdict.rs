//! The first witness of a test: what the guest printed about itself.
//!
//! A test guest ends with one line `ZENDO-TEST <name> <STATUS> <detail>` and may print one line
//! `case <name>: ok`, `case <name>: skip <why>` or `case <name>: FAIL <expected> <got>` for each
//! question before it. The worst status wins; no final line at all is a crash, whatever came before.

use std::fmt;

/// The word that marks a verdict line.
pub const MARKER: &str = "ZENDO-TEST";

/// How a test guest fared, from best to worst.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Status {
    /// Every answer was right.
    Success,
    /// The question could not be put on this machine.
    Skip,
    /// The test itself is at fault.
    Error,
    /// The hypervisor is at fault.
    Failure,
    /// The guest ended, or was silent, before it reached a verdict.
    Crash,
}

impl Status {
    fn parse(word: &str) -> Option<Status> {
        Some(match word {
            "SUCCESS" => Status::Success,
            "SKIP" => Status::Skip,
            "ERROR" => Status::Error,
            "FAILURE" => Status::Failure,
            _ => return None,
        })
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Status::Success => "success",
            Status::Skip => "skip",
            Status::Error => "error",
            Status::Failure => "failure",
            Status::Crash => "crash",
        })
    }
}

/// One question and its answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CaseLine {
    /// The name of the question.
    pub name: String,
    /// Everything after the colon.
    pub answer: String,
}

/// Everything a test guest said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// The worst of all statuses, or `Crash`.
    pub status: Status,
    /// The detail of the line that decided.
    pub detail: String,
    /// The single questions in the order they were printed.
    pub cases: Vec<CaseLine>,
}

/// Reads the report of the guest called `name` (any name where it is `None`) from its lines.
pub fn read_report(lines: &[String], name: Option<&str>) -> Report {
    let cases: Vec<CaseLine> = lines.iter().filter_map(|line| case_line(line)).collect();
    let verdicts = lines.iter().filter_map(|line| verdict_line(line, name));
    let (mut status, mut detail) = verdicts
        .max_by_key(|(status, _)| *status)
        .unwrap_or((Status::Crash, "no verdict line".to_string()));
    let failed = cases.iter().find(|case| case.answer.starts_with("FAIL"));
    if let (Some(case), true) = (failed, status < Status::Failure) {
        status = Status::Failure;
        detail = format!("{}: {}", case.name, case.answer);
    }
    Report { status, detail, cases }
}

/// Reads a verdict line; the marker may stand behind a prefix such as `(XEN) `.
fn verdict_line(line: &str, wanted: Option<&str>) -> Option<(Status, String)> {
    let (_, rest) = line.split_once(MARKER)?;
    let mut words = rest.split_whitespace();
    let name = words.next()?;
    if wanted.is_some_and(|wanted| wanted != name) {
        return None;
    }
    let status = words.next().map(Status::parse);
    let detail = words.collect::<Vec<_>>().join(" ");
    match status {
        Some(Some(status)) => Some((status, detail)),
        _ => Some((Status::Error, format!("unreadable verdict line: {}", line.trim()))),
    }
}

/// Reads one `case <name>: <answer>` line.
fn case_line(line: &str) -> Option<CaseLine> {
    let rest = line.trim().strip_prefix("case ")?;
    let (name, answer) = rest.split_once(':')?;
    Some(CaseLine { name: name.trim().to_string(), answer: answer.trim().to_string() })
}

/// The questions that two runs answered differently, one line for each.
pub fn differences(left: &Report, right: &Report, names: (&str, &str)) -> Vec<String> {
    let answer = |report: &Report, name: &str| {
        let found = report.cases.iter().find(|case| case.name == name);
        found.map_or("(not asked)".to_string(), |case| case.answer.clone())
    };
    let mut asked: Vec<&str> = left.cases.iter().map(|case| case.name.as_str()).collect();
    let only_right = right.cases.iter().map(|case| case.name.as_str());
    let more: Vec<&str> = only_right.filter(|name| !asked.contains(name)).collect();
    asked.extend(more);
    let differs = |name: &&str| {
        let (l, r) = (answer(left, name), answer(right, name));
        (l != r).then(|| format!("{name}: {} says '{l}', {} says '{r}'", names.0, names.1))
    };
    asked.iter().filter_map(differs).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str) -> Vec<String> {
        text.lines().map(str::to_string).collect()
    }

    #[test]
    fn a_silent_guest_has_crashed() {
        let report = read_report(&lines("hello\ncase a: ok\n"), None);
        assert_eq!(report.status, Status::Crash);
    }

    #[test]
    fn the_worst_of_several_verdicts_wins() {
        let text = "ZENDO-TEST a SUCCESS\nZENDO-TEST a FAILURE frame 3\nZENDO-TEST a SKIP";
        let report = read_report(&lines(text), Some("a"));
        assert_eq!((report.status, report.detail.as_str()), (Status::Failure, "frame 3"));
    }

    #[test]
    fn a_failed_case_spoils_a_good_verdict() {
        let report = read_report(&lines("case x: FAIL 0 -22\nZENDO-TEST a SUCCESS"), None);
        assert_eq!(report.status, Status::Failure);
        assert_eq!(report.detail, "x: FAIL 0 -22");
    }

    #[test]
    fn another_guests_verdict_does_not_count() {
        let report = read_report(&lines("ZENDO-TEST other SUCCESS fine"), Some("mine"));
        assert_eq!(report.status, Status::Crash);
    }

    #[test]
    fn an_unknown_status_is_the_tests_own_error() {
        let report = read_report(&lines("ZENDO-TEST a GREAT"), None);
        assert_eq!(report.status, Status::Error);
    }

    #[test]
    fn two_reports_are_compared_case_by_case() {
        let left = read_report(&lines("case a: ok\ncase b: ok\nZENDO-TEST s SUCCESS"), None);
        let right = read_report(&lines("case a: ok\ncase c: skip\nZENDO-TEST s SUCCESS"), None);
        let found = differences(&left, &right, ("zendo", "xen"));
        let expected = [
            "b: zendo says 'ok', xen says '(not asked)'",
            "c: zendo says '(not asked)', xen says 'skip'",
        ];
        assert_eq!(found, expected);
        assert!(differences(&left, &left, ("a", "b")).is_empty());
    }
}
