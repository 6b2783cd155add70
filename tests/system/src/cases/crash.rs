//! A domain that breaks a rule dies alone.

use super::{leaves_nothing, Verdict};
use crate::dom0::Dom0;
use crate::session::Session;

/// The ways in which `crasher` can die.
const KINDS: &[&str] = &[
    "null",
    "ud",
    "gp",
    "stack",
    "pt-violation",
    "pt-refused",
    "double",
    "panic",
    "bad-iret",
    "user-iret",
    "no-handler",
    "shutdown",
    "watchdog",
];

/// Each way of dying ends that domain only: its neighbour ticks on, and nothing is leaked.
pub fn each_kind(session: &Session<'_>) -> Verdict {
    let mut dom0 = Dom0::boot(session)?;
    dom0.ok("zl create ticker.cfg")?;
    dom0.console("ticker", &["tick 1"], 20)?;
    for kind in KINDS {
        leaves_nothing(&mut dom0, kind, |dom0| {
            dom0.ok(&format!("zl create crasher.cfg name=c-{kind} cmdline=\"crash={kind}\""))?;
            dom0.until_gone(&format!("c-{kind}"), 20)
        })?;
    }
    let ticks = ["tick 2", "tick 3"];
    dom0.console("ticker", &ticks, 20)?;
    dom0.ok("zl destroy ticker")?;
    dom0.poweroff()
}
