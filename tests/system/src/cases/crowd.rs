//! Sixteen guests of 16 MiB beside dom0 in 1 GiB; what one of them does is nothing to the others.

use super::{check, leaves_nothing, Verdict};
use crate::dom0::Dom0;
use crate::session::Session;

/// Guests that tick; one that crashes, one that spins and one that is destroyed join them.
const TICKERS: usize = 13;

/// All sixteen run; one crashes, one spins, one is destroyed, and every ticker ticks on.
pub fn sixteen(session: &Session<'_>) -> Verdict {
    let mut dom0 = Dom0::boot(session)?;
    leaves_nothing(&mut dom0, "sixteen guests", crowd)?;
    dom0.poweroff()
}

/// One round of it.
fn crowd(dom0: &mut Dom0<'_>) -> Verdict {
    for number in 0..TICKERS {
        dom0.ok(&format!("zl create ticker.cfg name=t{number} memory=16"))?;
    }
    dom0.ok("zl create spinner.cfg memory=16")?;
    dom0.ok("zl create ticker.cfg name=victim memory=16")?;
    dom0.ok("zl create -p crasher.cfg memory=16 cmdline=\"crash=pt-violation\"")?;
    let rows = dom0.domains()?;
    check(rows.len() == 17, || format!("{} domains are listed, 17 are wanted", rows.len()))?;
    for number in 0..TICKERS {
        dom0.console(&format!("t{number}"), &["tick 1"], 40)?;
    }
    dom0.ok("zl unpause crasher")?;
    dom0.until_gone("crasher", 30)?;
    dom0.ok("zl destroy victim")?;
    for number in 0..TICKERS {
        dom0.ticks_on(&format!("t{number}"), 40)?;
    }
    for name in (0..TICKERS).map(|number| format!("t{number}")).chain(["spinner".to_string()]) {
        dom0.ok(&format!("zl destroy {name}"))?;
    }
    Ok(())
}
