//! The store from inside a guest: over its ring, by pvkernel's client.

use std::time::Duration;

use super::alone::report_of;
use super::{check, leaves_nothing, Verdict};
use crate::dom0::{Dom0, PROMPT};
use crate::session::Session;
use crate::verdict::{Status, MARKER};

const GUEST: &str = "store";
const WITHIN: Duration = Duration::from_secs(60);

/// A guest that does everything a guest can with the store, and leaves nothing behind.
pub fn from_a_guest(session: &Session<'_>) -> Verdict {
    let mut dom0 = Dom0::boot(session)?;
    leaves_nothing(&mut dom0, "a guest with the store", |dom0| {
        dom0.machine().send("zl create -c store.cfg\r")?;
        let start = format!("{MARKER} {GUEST} ");
        let before = dom0.machine().expect(&start, WITHIN)?;
        let rest = dom0.machine().expect("\n", WITHIN)?;
        let report = report_of(&format!("{before}{start}{rest}"), GUEST);
        check(report.status == Status::Success, || {
            let failed = before.lines().filter(|line| line.contains("FAIL"));
            format!(
                "{}: {}\n{}",
                report.status,
                report.detail,
                failed.collect::<Vec<_>>().join("\n")
            )
        })?;
        dom0.machine().expect(PROMPT, WITHIN)?;
        dom0.until_gone(GUEST, 15)
    })?;
    dom0.poweroff()
}

/// A guest that hears is asked to end, and does so by itself; nothing of it stays.
pub fn asked_to_end(session: &Session<'_>) -> Verdict {
    let mut dom0 = Dom0::boot(session)?;
    leaves_nothing(&mut dom0, "a guest that was asked to end", |dom0| {
        dom0.ok("zl create ticker.cfg")?;
        dom0.ticks_on("ticker", 20)?;
        dom0.ok("zl shutdown ticker")?;
        dom0.until_gone("ticker", 15)
    })?;
    dom0.poweroff()
}
