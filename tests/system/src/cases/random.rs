//! Guests that make hypercalls at random harm nobody but themselves.

use super::{changed, check, Verdict};
use crate::dom0::Dom0;
use crate::session::Session;

/// The sequences that are tried; each is the same every time.
const SEEDS: u64 = 24;
/// Calls each of them makes, if it lives that long.
const STEPS: u64 = 20_000;
/// A guest that stopped itself for ever is destroyed after this time.
const PATIENCE_SECONDS: u64 = 5;

/// Random hypercalls, with a neighbour that must tick on; afterwards nothing is missing.
pub fn hypercalls(session: &Session<'_>) -> Verdict {
    let mut dom0 = Dom0::boot(session)?;
    // The first one may enlarge buffers that stay.
    one(&mut dom0, 0)?;
    let before = dom0.counts()?;
    dom0.ok("zl create ticker.cfg")?;
    for seed in 1..=SEEDS {
        one(&mut dom0, seed)?;
        if seed & 7 == 0 {
            dom0.ticks_on("ticker", 20)?;
        }
    }
    dom0.ok("zl destroy ticker")?;
    let mut after = dom0.counts()?;
    // Which buffers grew on the way depends on what happened; that they do not leak is asked where
    // the same thing is done again and again.
    after.extend(before.get_key_value("heap_bytes").map(|(key, count)| (key.clone(), *count)));
    let changes = changed(&before, &after);
    check(changes.is_empty(), || format!("random guests changed {}", changes.join(", ")))?;
    session.note(format!("{SEEDS} sequences of {STEPS}"));
    dom0.poweroff()
}

/// Runs one sequence to its end, whatever that is.
fn one(dom0: &mut Dom0<'_>, seed: u64) -> Verdict {
    let words = format!("seed={seed} steps={STEPS} gentle={}", seed & 1);
    dom0.ok(&format!("zl create fuzz.cfg cmdline=\"{words}\""))?;
    if dom0.until_gone("fuzz", PATIENCE_SECONDS).is_err() {
        dom0.ok("zl destroy fuzz")?;
    }
    dom0.until_gone("fuzz", PATIENCE_SECONDS)
}
