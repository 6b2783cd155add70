//! The guest of the book's first chapter: without pvkernel, as first domain and as any other.

use std::time::Duration;

use super::{alone, check, leaves_nothing, Verdict};
use crate::dom0::{Dom0, PROMPT};
use crate::session::Session;
use crate::verdict::Status;

const WITHIN: Duration = Duration::from_secs(15);

/// It boots in dom0's place, speaks by hypercall, and powers the machine off.
pub fn first_as_dom0(session: &Session<'_>) -> Verdict {
    let report = alone::report(session, session.hypervisor, "first")?;
    check(report.status == Status::Success, || format!("{}: {}", report.status, report.detail))
}

/// It speaks through its ring, sleeps until a key comes, shows it, and leaves nothing behind.
pub fn first_as_domu(session: &Session<'_>) -> Verdict {
    let mut dom0 = Dom0::boot(session)?;
    leaves_nothing(&mut dom0, "first", |dom0| {
        dom0.machine().send("zl create -c first.cfg\r")?;
        dom0.machine().expect("Press a key: ", WITHIN)?;
        dom0.machine().send("q")?;
        dom0.machine().expect("q\r\nZENDO-TEST first SUCCESS", WITHIN)?;
        dom0.machine().expect(PROMPT, WITHIN)?;
        dom0.until_gone("first", 15)
    })?;
    dom0.poweroff()
}
