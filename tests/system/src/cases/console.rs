//! The consoles of domains, seen from dom0.

use std::time::Duration;

use super::Verdict;
use crate::dom0::{Dom0, LEAVE_CONSOLE, PROMPT};
use crate::session::Session;

const WITHIN: Duration = Duration::from_secs(20);

/// Attaching shows what was said before, then what is said now; leaving leaves the domain running.
pub fn attach_and_leave(session: &Session<'_>) -> Verdict {
    let mut dom0 = Dom0::boot(session)?;
    dom0.ok("zl create ticker.cfg")?;
    dom0.console("ticker", &["tick 1", "tick 2"], 20)?;
    // The scrollback still holds the beginning, and new lines follow it.
    dom0.console("ticker", &["tick 1", "tick 2", "tick 3", "tick 4"], 20)?;
    dom0.machine().send("zl create -c ticker.cfg name=attached\r")?;
    dom0.machine().expect("tick 1", WITHIN)?;
    dom0.machine().send(LEAVE_CONSOLE)?;
    dom0.machine().expect(PROMPT, WITHIN)?;
    dom0.refused("zl console nobody")?;
    dom0.ok("zl destroy attached")?;
    dom0.ok("zl destroy ticker")?;
    dom0.poweroff()
}

/// A domain that dies at once has not spoken in vain: `create -c` shows what it said.
pub fn last_words(session: &Session<'_>) -> Verdict {
    let mut dom0 = Dom0::boot(session)?;
    for _ in 0..10 {
        dom0.machine().send("zl create -c hello.cfg\r")?;
        dom0.machine().expect("hello from ", WITHIN)?;
        dom0.machine().expect(PROMPT, WITHIN)?;
        dom0.until_gone("hello", 15)?;
    }
    dom0.poweroff()
}
