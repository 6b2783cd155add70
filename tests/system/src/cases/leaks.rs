//! What a domain used is there again when it is gone: frames, ports, grants, heap.

use std::time::Instant;

use super::{leaves_nothing, Verdict};
use crate::dom0::Dom0;
use crate::session::Session;

/// Rounds of create and destroy.
const ROUNDS: usize = 200;

/// Two hundred domains later every count is what it was before them.
pub fn create_and_destroy(session: &Session<'_>) -> Verdict {
    let mut dom0 = Dom0::boot(session)?;
    let mut each_ms = 0.0;
    let tries = leaves_nothing(&mut dom0, "200 domains", |dom0| {
        let started = Instant::now();
        for number in 0..ROUNDS {
            round(dom0, number)?;
        }
        each_ms = started.elapsed().as_secs_f64() * 1000.0 / ROUNDS as f64;
        Ok(())
    })?;
    session.note(format!(
        "{each_ms:.0} ms for create and destroy, typing included; all counts equal, time {tries}"
    ));
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
