//! The guest that tries every hypercall, here and on Xen.

use std::time::Duration;

use super::alone::{report, report_of};
use super::{check, Verdict};
use crate::dom0::Dom0;
use crate::qemu::Hypervisor;
use crate::session::Session;
use crate::verdict::{differences, Report, Status, MARKER};

const GUEST: &str = "selftest";

/// The whole of it beside dom0.
const WITHIN: Duration = Duration::from_secs(120);

fn judge(report: &Report, session: &Session<'_>) -> Verdict {
    session.note(format!("{} cases, {}", report.cases.len(), report.status));
    check(report.status == Status::Success, || {
        let failed = report.cases.iter().filter(|case| case.answer.starts_with("FAIL"));
        let lines: String = failed.map(|c| format!("\n    {}: {}", c.name, c.answer)).collect();
        format!("selftest: {} ({}){lines}", report.status, report.detail)
    })
}

/// In dom0's place.
pub fn as_dom0(session: &Session<'_>) -> Verdict {
    judge(&report(session, session.hypervisor, GUEST)?, session)
}

/// Both hypervisors give the same answer to every question.
pub fn same_on_xen(session: &Session<'_>) -> Verdict {
    let ours = report(session, Hypervisor::Zendo, GUEST)?;
    let theirs = report(session, Hypervisor::Xen, GUEST)?;
    let differing = differences(&ours, &theirs, ("zendo", "xen"));
    check(!ours.cases.is_empty(), || "selftest printed no case".to_string())?;
    session.note(format!("{} answers compared", ours.cases.len()));
    check(differing.is_empty(), || format!("answers differ:\n{}", differing.join("\n")))
}

/// As an ordinary domain beside dom0.
pub fn as_domu(session: &Session<'_>) -> Verdict {
    let mut dom0 = Dom0::boot(session)?;
    dom0.machine().send("zl create -c selftest.cfg\r")?;
    let start = format!("{MARKER} {GUEST} ");
    let before = dom0.machine().expect(&start, WITHIN)?;
    let rest = dom0.machine().expect("\n", Duration::from_secs(10))?;
    judge(&report_of(&format!("{before}{start}{rest}"), GUEST), session)
}
