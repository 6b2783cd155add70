//! Bad input: one clear line, a status that is not zero, and nothing left behind.

use super::{check, leaves_nothing, Verdict};
use crate::dom0::Dom0;
use crate::hostile;
use crate::session::Session;

/// Creates from every file in `names` and expects each to be refused without a trace.
fn all_refused(session: &Session<'_>, names: &[&str]) -> Verdict {
    let mut dom0 = Dom0::boot(session)?;
    for name in names {
        leaves_nothing(&mut dom0, name, |dom0| {
            let line = dom0.refused(&format!("zl create bad-{name}.cfg"))?;
            let speaks = line.len() > 20 && !line.contains("rc=-");
            check(speaks, || format!("bad-{name}.cfg is refused with only '{line}'"))
        })?;
    }
    let rows = dom0.domains()?;
    check(rows.len() == 1, || format!("a refused domain is listed: {rows:?}"))?;
    session.note(format!("{} refused", names.len()));
    dom0.poweroff()
}

/// Configurations with something wrong in them.
pub fn configurations(session: &Session<'_>) -> Verdict {
    let names: Vec<&str> = hostile::configurations().into_iter().map(|(name, _)| name).collect();
    all_refused(session, &names)
}

/// Kernels with something wrong in them.
pub fn kernels(session: &Session<'_>) -> Verdict {
    let names: Vec<&str> = hostile::kernels(&[]).into_iter().map(|(name, _)| name).collect();
    all_refused(session, &names)
}

/// Commands with something wrong in them.
pub fn commands(session: &Session<'_>) -> Verdict {
    let mut dom0 = Dom0::boot(session)?;
    dom0.ok("zl create -p ticker.cfg")?;
    let wrong = [
        "zl create ticker.cfg",
        "zl create nothere.cfg",
        "zl create",
        "zl destroy nobody",
        "zl destroy 99",
        "zl destroy 0",
        "zl pause nobody",
        "zl unpause",
        "zl console 4000000000",
        "zl rename ticker 123",
        "zl rename ticker",
        "zl domid nobody",
        "zl domname 77",
        "zl frobnicate",
        "zl list --nonsense",
        "frobnicate",
    ];
    for command in wrong {
        leaves_nothing(&mut dom0, command, |dom0| dom0.refused(command).map(|_| ()))?;
    }
    dom0.ok("zl destroy ticker")?;
    dom0.poweroff()
}
