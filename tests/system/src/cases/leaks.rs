//! What a domain used is there again when it is gone: frames, ports, grants, heap.

use std::time::Instant;

use super::{check, Verdict};
use crate::dom0::Dom0;
use crate::session::Session;

/// Rounds of create and destroy.
const ROUNDS: usize = 200;

/// Two hundred domains later every count is what it was after the first.
pub fn create_and_destroy(session: &Session<'_>) -> Verdict {
    let mut dom0 = Dom0::boot(session)?;
    // The very first domain may enlarge tables that stay; from then on nothing may grow.
    dom0.ok("zl create ticker.cfg")?;
    dom0.ok("zl destroy ticker")?;
    let before = dom0.counts()?;
    let started = Instant::now();
    for round in 0..ROUNDS {
        // A paused one never ran, a running one is cut down at work.
        let option = if round % 2 == 0 { "" } else { "-p " };
        dom0.ok(&format!("zl create {option}ticker.cfg"))?;
        dom0.ok("zl destroy ticker")?;
    }
    let each = started.elapsed().as_secs_f64() * 1000.0 / ROUNDS as f64;
    session.note(format!("{each:.0} ms for create and destroy, typing included"));
    let after = dom0.counts()?;
    check(before == after, || format!("counts were {before:?} and are {after:?}"))?;
    dom0.poweroff()
}
