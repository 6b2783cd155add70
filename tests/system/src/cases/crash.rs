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

/// Each way of dying leaves nothing behind, and ends that domain only: a neighbour ticks on.
pub fn each_kind(session: &Session<'_>) -> Verdict {
    let mut dom0 = Dom0::boot(session)?;
    for kind in KINDS {
        leaves_nothing(&mut dom0, kind, |dom0| die(dom0, kind))?;
    }
    // The neighbour comes only now: what it prints is kept, and would change the counts.
    dom0.ok("zl create ticker.cfg")?;
    for kind in KINDS {
        die(&mut dom0, kind)?;
        dom0.ticks_on("ticker", 20)?;
    }
    dom0.ok("zl destroy ticker")?;
    dom0.poweroff()
}

/// Creates a domain that dies in one way, and waits for its end.
fn die(dom0: &mut Dom0<'_>, kind: &str) -> Verdict {
    dom0.ok(&format!("zl create crasher.cfg name=c-{kind} cmdline=\"crash={kind}\""))?;
    dom0.until_gone(&format!("c-{kind}"), 20)
}
