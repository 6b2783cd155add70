//! Decides what happens to a domain that ended.
//!
//! Called by `ends` with facts only; acts on nothing. A domain that dies again and again right
//! after its start would keep the machine busy for ever, so restarts are limited: one that lived
//! less than [`QUICK_DEATH_NS`] counts as a quick death, and the third in a row is final.

use crate::config::{Action, EndActions};
use hypercall_abi::sched::shutdown;

/// A life shorter than this is a quick death: 10 seconds.
pub const QUICK_DEATH_NS: u64 = 10_000_000_000;
/// Quick deaths in a row after which a domain is not started again.
pub const MOST_QUICK_DEATHS: u32 = 3;

/// How a domain ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Death {
    /// The reason the hypervisor recorded.
    pub reason: u32,
    /// How long it lived.
    pub age_ns: u64,
    /// Quick deaths in a row before this one.
    pub quick_deaths: u32,
}

impl Death {
    /// Quick deaths in a row including this one.
    #[must_use]
    pub fn quick_deaths_now(&self) -> u32 {
        match self.age_ns < QUICK_DEATH_NS {
            true => self.quick_deaths.saturating_add(1),
            false => 0,
        }
    }
}

/// What to do, and why if it is not what the configuration says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// What to do.
    pub action: Action,
    /// Whether a restart was refused because the domain dies too quickly.
    pub gave_up: bool,
}

/// What to do with a domain that ended.
#[must_use]
pub fn decide(actions: &EndActions, death: &Death) -> Verdict {
    let action = match death.reason {
        shutdown::POWEROFF => actions.on_poweroff,
        shutdown::REBOOT => actions.on_reboot,
        shutdown::WATCHDOG => actions.on_watchdog,
        // Nobody here can resume a suspended domain yet, but it has lost nothing: keep it.
        shutdown::SUSPEND => Action::Preserve,
        _ => actions.on_crash,
    };
    if death.quick_deaths_now() < MOST_QUICK_DEATHS {
        return Verdict { action, gave_up: false };
    }
    match action {
        Action::Restart => Verdict { action: Action::Destroy, gave_up: true },
        Action::RenameRestart => Verdict { action: Action::Preserve, gave_up: true },
        other => Verdict { action: other, gave_up: false },
    }
}

/// The name of a reason, as people know it.
#[must_use]
pub fn reason_word(reason: u32) -> &'static str {
    match reason {
        shutdown::POWEROFF => "powered off",
        shutdown::REBOOT => "rebooted",
        shutdown::SUSPEND => "suspended",
        shutdown::CRASH => "crashed",
        shutdown::WATCHDOG => "was ended by its watchdog",
        shutdown::SOFT_RESET => "asked for a soft reset",
        _ => "ended for an unknown reason",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn death(reason: u32, age_ns: u64, quick_deaths: u32) -> Death {
        Death { reason, age_ns, quick_deaths }
    }

    #[test]
    fn each_reason_has_its_own_action() {
        let actions = EndActions {
            on_poweroff: Action::Preserve,
            on_reboot: Action::Restart,
            on_crash: Action::RenameRestart,
            on_watchdog: Action::Destroy,
        };
        let action = |reason| decide(&actions, &death(reason, u64::MAX, 0)).action;
        assert_eq!(action(shutdown::POWEROFF), Action::Preserve);
        assert_eq!(action(shutdown::REBOOT), Action::Restart);
        assert_eq!(action(shutdown::CRASH), Action::RenameRestart);
        assert_eq!(action(shutdown::WATCHDOG), Action::Destroy);
        assert_eq!(action(shutdown::SUSPEND), Action::Preserve);
        assert_eq!(action(77), Action::RenameRestart);
    }

    #[test]
    fn the_third_quick_death_in_a_row_ends_restarts() {
        let actions = EndActions { on_crash: Action::Restart, ..EndActions::default() };
        for (quick_deaths, action) in
            [(0, Action::Restart), (1, Action::Restart), (2, Action::Destroy)]
        {
            let verdict = decide(&actions, &death(shutdown::CRASH, 5, quick_deaths));
            assert_eq!(verdict.action, action);
            assert_eq!(verdict.gave_up, quick_deaths == 2);
        }
        let old = death(shutdown::CRASH, QUICK_DEATH_NS, 2);
        assert_eq!(decide(&actions, &old).action, Action::Restart);
        assert_eq!(old.quick_deaths_now(), 0);
    }

    #[test]
    fn giving_up_never_touches_domains_that_are_not_restarted() {
        let actions = EndActions { on_crash: Action::Preserve, ..EndActions::default() };
        let verdict = decide(&actions, &death(shutdown::CRASH, 0, 50));
        assert_eq!(verdict, Verdict { action: Action::Preserve, gave_up: false });
    }
}
