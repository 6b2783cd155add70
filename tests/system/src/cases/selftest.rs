//! The guest that tries every hypercall, here and on Xen.

use std::time::Duration;

use super::{check, Verdict};
use crate::dom0::Dom0;
use crate::machine::Failure;
use crate::qemu::Hypervisor;
use crate::screen::visible_lines;
use crate::session::Session;
use crate::verdict::{differences, read_report, Report, Status, MARKER};

/// The whole of it, on the slower of the two hypervisors.
const WITHIN: Duration = Duration::from_secs(120);

/// Boots it in dom0's place and reads its report.
fn report(session: &Session<'_>, on: Hypervisor) -> Result<Report, Failure> {
    let boot = session.images.guest_boot(on, "selftest", "")?;
    let mut watched = session.start(boot)?;
    let mut text = watched.machine.expect(&format!("{MARKER} selftest "), WITHIN)?;
    text.push_str(MARKER);
    text.push_str(" selftest ");
    text.push_str(&watched.expect("\n", 10)?);
    Ok(read_report(&visible_lines(text.as_bytes()), Some("selftest")))
}

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
    judge(&report(session, session.hypervisor)?, session)
}

/// Both hypervisors give the same answer to every question.
pub fn same_on_xen(session: &Session<'_>) -> Verdict {
    let ours = report(session, Hypervisor::Zendo)?;
    let theirs = report(session, Hypervisor::Xen)?;
    let differing = differences(&ours, &theirs, ("zendo", "xen"));
    check(!ours.cases.is_empty(), || "selftest printed no case".to_string())?;
    session.note(format!("{} answers compared", ours.cases.len()));
    check(differing.is_empty(), || format!("answers differ:\n{}", differing.join("\n")))
}

/// As an ordinary domain beside dom0.
pub fn as_domu(session: &Session<'_>) -> Verdict {
    let mut dom0 = Dom0::boot(session)?;
    dom0.machine().send("zl create -c selftest.cfg\r")?;
    let mut text = dom0.machine().expect(&format!("{MARKER} selftest "), WITHIN)?;
    text.push_str(MARKER);
    text.push_str(" selftest ");
    text.push_str(&dom0.machine().expect("\n", Duration::from_secs(10))?);
    let report = read_report(&visible_lines(text.as_bytes()), Some("selftest"));
    judge(&report, session)
}
