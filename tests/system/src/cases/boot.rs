//! From power-on to the prompt, and the budgets on the way.

use std::time::Duration;

use super::{check, Verdict};
use crate::dom0::Dom0;
use crate::machine::Failure;
use crate::session::Session;

/// QEMU's start to dom0's prompt.
const BOOT_BUDGET: Duration = Duration::from_millis(1500);
/// The hypervisor's entry to the dom0 kernel's entry.
const ENTRY_BUDGET_INSTRUCTIONS: u64 = 8_000_000;
/// `zl create` to the first instruction of `hello`.
const CREATE_BUDGET_MS: f64 = 20.0;
/// Wall times on a shared machine are noisy upwards only: the best of a few is the time.
const TRIES: usize = 5;

/// dom0 comes up, answers, and goes down for the reason it gave.
pub fn to_prompt(session: &Session<'_>) -> Verdict {
    let mut dom0 = Dom0::boot(session)?;
    session.note(format!("prompt after {:.2} s", dom0.boot_took.as_secs_f64()));
    let rows = dom0.domains()?;
    let only_dom0 = rows.len() == 1 && rows.iter().all(|row| row.id == 0);
    check(only_dom0, || format!("only dom0 should run, listed are {rows:?}"))?;
    dom0.poweroff()
}

/// The time from the start of QEMU to the prompt stays within its budget.
pub fn time(session: &Session<'_>) -> Verdict {
    let mut best = Duration::MAX;
    for _ in 0..TRIES {
        best = best.min(Dom0::boot(session)?.boot_took);
        if best <= BOOT_BUDGET {
            break;
        }
    }
    session.note(format!("{:.2} s", best.as_secs_f64()));
    check(best <= BOOT_BUDGET, || {
        format!(
            "the prompt took {best:.2?} in the best of {TRIES} boots, {BOOT_BUDGET:?} is allowed"
        )
    })
}

/// The way from the hypervisor's entry to dom0's stays within its instructions.
pub fn instructions(session: &Session<'_>) -> Verdict {
    let mut boot = session.images.usual_boot(session.hypervisor)?;
    boot.icount = true;
    let mut watched = session.start(boot)?;
    // With one tick for each instruction the time-stamp counter counts what was executed.
    watched.expect("dom0 starts after ", 60)?;
    let count = watched.expect(" ", 5)?;
    let count: u64 = count.parse().map_err(|_| Failure(format!("'{count}' is no number")))?;
    session.note(format!("{:.2} million instructions", count as f64 / 1e6));
    check(count <= ENTRY_BUDGET_INSTRUCTIONS, || {
        format!("{count} instructions to dom0's entry, {ENTRY_BUDGET_INSTRUCTIONS} are allowed")
    })
}

/// A small domain exists quickly.
pub fn create_time(session: &Session<'_>) -> Verdict {
    let mut dom0 = Dom0::boot(session)?;
    let mut best = f64::MAX;
    for _ in 0..TRIES {
        let answer = dom0.ok("zl create -v hello.cfg")?;
        let took = answer.lines.iter().find_map(|line| milliseconds(line));
        let took = took.ok_or(Failure(format!("no time in {:?}", answer.lines)))?;
        best = best.min(took);
        dom0.until_gone("hello", 15)?;
    }
    session.note(format!("{best:.1} ms"));
    check(best <= CREATE_BUDGET_MS, || {
        format!("create took {best:.1} ms in the best of {TRIES}, {CREATE_BUDGET_MS} are allowed")
    })
}

/// The number before the word `ms` in a line.
fn milliseconds(line: &str) -> Option<f64> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let at = words.iter().position(|word| word.trim_end_matches(['.', ',', ')']) == "ms")?;
    words.get(at.checked_sub(1)?)?.trim_start_matches('(').parse().ok()
}

#[cfg(test)]
mod tests {
    use super::milliseconds;

    #[test]
    fn a_time_is_the_number_before_its_unit() {
        assert_eq!(milliseconds("created hello as domain 1 in 12.5 ms"), Some(12.5));
        assert_eq!(milliseconds("domain 1 (3 ms)"), Some(3.0));
        assert_eq!(milliseconds("ms"), None);
        assert_eq!(milliseconds("no time"), None);
    }
}
