//! What a domain used is there again when it is gone: frames, ports, grants, heap.

use std::time::Instant;

use super::{changed, check, Verdict};
use crate::dom0::Dom0;
use crate::session::Session;

/// Rounds of create and destroy.
const ROUNDS: usize = 200;

/// Rounds before the counts are taken.
const WARM_UP: usize = 10;

/// Two hundred domains later every count is what it was after the first few.
pub fn create_and_destroy(session: &Session<'_>) -> Verdict {
    let mut dom0 = Dom0::boot(session)?;
    // The very first ones may enlarge tables that stay; from then on nothing may grow.
    for number in 0..WARM_UP {
        round(&mut dom0, number)?;
    }
    let before = dom0.counts()?;
    let started = Instant::now();
    for number in 0..ROUNDS {
        round(&mut dom0, number)?;
    }
    let each = started.elapsed().as_secs_f64() * 1000.0 / ROUNDS as f64;
    session.note(format!("{each:.0} ms for create and destroy, typing included"));
    let after = dom0.counts()?;
    let changes = changed(&before, &after);
    check(changes.is_empty(), || format!("{ROUNDS} rounds changed {}", changes.join(", ")))?;
    dom0.poweroff()
}

/// One domain: every second one never ran, the others are cut down at work.
fn round(dom0: &mut Dom0<'_>, number: usize) -> Verdict {
    let option = match number & 1 {
        0 => "",
        _ => "-p ",
    };
    dom0.ok(&format!("zl create {option}ticker.cfg"))?;
    dom0.ok("zl destroy ticker").map(|_| ())
}
