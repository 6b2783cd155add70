//! Domains come, run beside each other, stop, go on, and end in the way their configuration says.

use std::time::Duration;

use super::{check, leaves_nothing, Verdict};
use crate::dom0::{Dom0, DomainRow, PROMPT};
use crate::machine::Failure;
use crate::session::Session;

/// From a command to what it causes.
const WITHIN: Duration = Duration::from_secs(15);

/// `hello` says its line, powers itself off and leaves nothing behind.
pub fn hello(session: &Session<'_>) -> Verdict {
    let mut dom0 = Dom0::boot(session)?;
    leaves_nothing(&mut dom0, "hello", |dom0| {
        dom0.machine().send("zl create -c hello.cfg\r")?;
        dom0.machine().expect("hello from ", WITHIN)?;
        dom0.machine().expect(PROMPT, WITHIN)?;
        dom0.until_gone("hello", 15)
    })?;
    dom0.poweroff()
}

/// Three domains run at the same time; one of them never yields.
pub fn three_domains(session: &Session<'_>) -> Verdict {
    let mut dom0 = Dom0::boot(session)?;
    for file in ["ticker.cfg", "spinner.cfg"] {
        dom0.ok(&format!("zl create {file}"))?;
    }
    dom0.ok("zl create ticker.cfg name=second")?;
    let names: Vec<String> = dom0.domains()?.into_iter().map(|row| row.name).collect();
    check(names == ["Domain-0", "ticker", "spinner", "second"], || {
        format!("listed are {names:?}")
    })?;
    dom0.ticks_on("ticker", 20)?;
    dom0.ticks_on("second", 20)?;
    dom0.ok("zl destroy spinner")?;
    dom0.ticks_on("ticker", 20)?;
    dom0.ok("zl destroy ticker")?;
    dom0.ok("zl destroy second")?;
    dom0.poweroff()
}

/// The row of a domain that must be listed.
fn row(dom0: &mut Dom0<'_>, name: &str) -> Result<DomainRow, Failure> {
    let rows = dom0.domains()?;
    let found = rows.iter().find(|row| row.name == name).cloned();
    found.ok_or_else(|| Failure(format!("{name} is not listed: {rows:?}")))
}

/// A paused domain stands still, and goes on where it stood.
pub fn pause(session: &Session<'_>) -> Verdict {
    let mut dom0 = Dom0::boot(session)?;
    dom0.ok("zl create -p ticker.cfg")?;
    let state = row(&mut dom0, "ticker")?.state;
    check(state.contains('p'), || format!("created with -p, its state is {state}"))?;
    dom0.ok("zl unpause ticker")?;
    dom0.console("ticker", &["tick 1"], 20)?;
    dom0.ok("zl pause ticker")?;
    let state = row(&mut dom0, "ticker")?.state;
    check(state.contains('p'), || format!("paused, its state is {state}"))?;
    let first = time_used(&mut dom0)?;
    let second = time_used(&mut dom0)?;
    check(first == second, || format!("a paused domain used time: {first}, then {second}"))?;
    dom0.ok("zl unpause ticker")?;
    dom0.ticks_on("ticker", 20)?;
    dom0.ok("zl destroy ticker")?;
    dom0.poweroff()
}

/// The processor time of `ticker`, as `zl list` prints it.
fn time_used(dom0: &mut Dom0<'_>) -> Result<String, Failure> {
    let answer = dom0.ok("zl list ticker")?;
    let last = answer.lines.last().and_then(|line| line.split_whitespace().last());
    last.map(str::to_string).ok_or(Failure("zl list ticker printed nothing".into()))
}

/// A new name is a name everywhere; the old one is free again.
pub fn rename(session: &Session<'_>) -> Verdict {
    let mut dom0 = Dom0::boot(session)?;
    dom0.ok("zl create -p ticker.cfg")?;
    let id = dom0.ok("zl domid ticker")?.lines.join("");
    dom0.ok("zl rename ticker clock")?;
    let same = dom0.ok("zl domid clock")?.lines.join("");
    check(id == same, || format!("ticker was {id}, clock is {same}"))?;
    let name = dom0.ok(&format!("zl domname {id}"))?.lines.join("");
    check(name == "clock", || format!("domname says '{name}'"))?;
    dom0.refused("zl domid ticker")?;
    dom0.ok("zl create -p ticker.cfg")?;
    dom0.refused("zl rename ticker clock")?;
    dom0.ok("zl destroy clock")?;
    dom0.ok("zl destroy ticker")?;
    dom0.poweroff()
}

/// `on_poweroff`, `on_reboot` and `on_crash` are honoured.
pub fn end_actions(session: &Session<'_>) -> Verdict {
    let mut dom0 = Dom0::boot(session)?;
    let crash = "on_crash=\"preserve\" cmdline=\"crash=ud\"";
    preserved_then_destroyed(&mut dom0, "hello.cfg", "on_poweroff=\"preserve\"", 's')?;
    preserved_then_destroyed(&mut dom0, "crasher.cfg", crash, 'c')?;
    dom0.ok("zl create crasher.cfg name=gone cmdline=\"crash=ud\" on_crash=\"destroy\"")?;
    dom0.until_gone("gone", 15)?;
    rebooted(&mut dom0)?;
    dom0.poweroff()
}

/// Creates a domain that ends at once and must be kept, with the letter of its end among the last
/// three state letters.
fn preserved_then_destroyed(
    dom0: &mut Dom0<'_>,
    file: &str,
    settings: &str,
    letter: char,
) -> Verdict {
    dom0.ok(&format!("zl create {file} name=kept {settings}"))?;
    let ended = |lines: &[String]| {
        let state = lines.last().and_then(|line| line.split_whitespace().nth(4));
        state.is_some_and(|state| state.chars().skip(3).any(|c| c == letter))
    };
    dom0.until("zl list kept", 15, ended)?;
    dom0.ok("zl destroy kept")?;
    dom0.until_gone("kept", 15)
}

/// A domain that is told to reboot comes back with another number and the same name.
fn rebooted(dom0: &mut Dom0<'_>) -> Verdict {
    dom0.ok("zl create ticker.cfg on_reboot=\"restart\"")?;
    dom0.console("ticker", &["tick "], 20)?;
    let old = dom0.ok("zl domid ticker")?.lines;
    dom0.ok("zl reboot ticker")?;
    dom0.until("zl list", 20, |lines| {
        let mine = lines.iter().find(|line| line.starts_with("ticker "));
        let id = mine.and_then(|line| line.split_whitespace().nth(1));
        id.is_some_and(|id| old.first().is_none_or(|old| old != id))
    })?;
    dom0.console("ticker", &["tick 1"], 20)?;
    dom0.ok("zl destroy ticker")?;
    Ok(())
}
