//! A test guest in dom0's place: no toolstack needed, two witnesses required.

use std::time::Duration;

use super::{check, Verdict};
use crate::exit_code::End;
use crate::machine::Failure;
use crate::qemu::{Boot, Hypervisor};
use crate::screen::visible_lines;
use crate::session::{Session, Watched};
use crate::verdict::{read_report, Report, Status, MARKER};

/// The longest guest, on the slower of the two hypervisors.
const WITHIN: Duration = Duration::from_secs(120);

/// From the verdict to the end of the machine.
const END_WITHIN: Duration = Duration::from_secs(15);

/// Boots a guest in dom0's place and reads its report. Where the hypervisor can say why the machine
/// ended, the guest must have powered it off.
pub fn report(session: &Session<'_>, on: Hypervisor, guest: &str) -> Result<Report, Failure> {
    let mut watched = session.start(session.images.guest_boot(on, guest, "")?)?;
    let report = read_until_verdict(&mut watched, guest)?;
    if on == Hypervisor::Zendo {
        let end = watched.machine.wait_end(END_WITHIN)?;
        check(end == End::Poweroff, || format!("{guest} gave a verdict, and then: {end}"))?;
    }
    Ok(report)
}

/// Reads what a guest prints up to the end of its verdict line.
fn read_until_verdict(watched: &mut Watched<'_>, guest: &str) -> Result<Report, Failure> {
    let start = format!("{MARKER} {guest} ");
    let before = watched.machine.expect(&start, WITHIN)?;
    let rest = watched.machine.expect("\n", END_WITHIN)?;
    Ok(report_of(&format!("{before}{start}{rest}"), guest))
}

/// The report in what was printed.
pub fn report_of(text: &str, guest: &str) -> Report {
    read_report(&visible_lines(text.as_bytes()), Some(guest))
}

/// The smallest guest boots, speaks, and powers the machine off.
pub fn hello(session: &Session<'_>) -> Verdict {
    let report = report(session, session.hypervisor, "hello")?;
    check(report.status == Status::Success, || format!("{}: {}", report.status, report.detail))
}

/// Grants, from both sides of one domain.
pub fn grants(session: &Session<'_>) -> Verdict {
    let report = report(session, session.hypervisor, "grants")?;
    check(report.status == Status::Success, || format!("{}: {}", report.status, report.detail))
}

/// The machine layer alone, in the hypervisor's place, passes its own checks.
pub fn machine_probe(session: &Session<'_>) -> Verdict {
    let probe = session.images.guests.join("machine-probe");
    let mut watched = session.start(Boot::new(&probe, "console=com1 exit=debug"))?;
    let end = watched.machine.wait_end(WITHIN)?;
    check(end == End::Poweroff, || format!("the probe ended with: {end}"))
}
