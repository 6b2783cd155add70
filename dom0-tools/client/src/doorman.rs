//! Who may come in at all: bounds on connections and on wrong proofs.
//!
//! The service asks before it answers a new connection, and after a wrong proof how long to wait
//! before saying so. A person who mistyped a file waits a moment; a program that tries tokens gets a
//! few answers a second out of 2^256.

/// Most connections at a time.
pub const MOST_SESSIONS: usize = 8;
/// Most of them that have not proven themselves yet.
pub const MOST_STRANGERS: usize = 3;
/// How long a stranger may take to prove itself.
pub const PROOF_LIMIT_NS: u64 = 5_000_000_000;
/// The same while all places of strangers are taken: who says nothing makes room for who does.
pub const CROWDED_LIMIT_NS: u64 = 1_000_000_000;

const NS_PER_MS: u64 = 1_000_000;
/// The wait after the first wrong proof; it doubles with each further one.
const FIRST_DELAY_NS: u64 = 50 * NS_PER_MS;
const LONGEST_DELAY_NS: u64 = 2_000 * NS_PER_MS;
/// After this time without a wrong proof all is forgotten.
const FORGET_NS: u64 = 10_000 * NS_PER_MS;

/// Counts connections and wrong proofs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Doorman {
    sessions: usize,
    strangers: usize,
    failures: u32,
    last_failure_ns: u64,
}

impl Doorman {
    /// Nobody is here.
    #[must_use]
    pub const fn new() -> Self {
        Self { sessions: 0, strangers: 0, failures: 0, last_failure_ns: 0 }
    }

    /// A connection came; whether it may stay. One that may is a stranger at first.
    pub fn admit(&mut self) -> bool {
        if self.sessions >= MOST_SESSIONS || self.strangers >= MOST_STRANGERS {
            return false;
        }
        self.sessions += 1;
        self.strangers += 1;
        true
    }

    /// How long a stranger may take at this moment.
    #[must_use]
    pub fn patience_ns(&self) -> u64 {
        match self.strangers >= MOST_STRANGERS {
            true => CROWDED_LIMIT_NS,
            false => PROOF_LIMIT_NS,
        }
    }

    /// A stranger has proven itself.
    pub fn know(&mut self) {
        self.strangers = self.strangers.saturating_sub(1);
    }

    /// A connection is over.
    pub fn leave(&mut self, was_known: bool) {
        self.sessions = self.sessions.saturating_sub(1);
        if !was_known {
            self.strangers = self.strangers.saturating_sub(1);
        }
    }

    /// A proof was wrong; how long to wait before saying so.
    pub fn failed(&mut self, now_ns: u64) -> u64 {
        if now_ns.saturating_sub(self.last_failure_ns) > FORGET_NS {
            self.failures = 0;
        }
        self.last_failure_ns = now_ns;
        let delay_ns = FIRST_DELAY_NS << self.failures.min(10);
        self.failures = self.failures.saturating_add(1);
        delay_ns.min(LONGEST_DELAY_NS)
    }

    /// Connections that are here.
    #[must_use]
    pub fn sessions(&self) -> usize {
        self.sessions
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strangers_cannot_take_all_places() {
        let mut doorman = Doorman::new();
        assert!((0..MOST_STRANGERS).all(|_| doorman.admit()));
        assert!(!doorman.admit());
        doorman.know();
        assert!(doorman.admit());
        doorman.leave(false);
        assert!(doorman.admit());
        assert_eq!(doorman.sessions(), MOST_STRANGERS + 1);
    }

    #[test]
    fn strangers_are_hurried_while_others_wait() {
        let mut doorman = Doorman::new();
        assert_eq!(doorman.patience_ns(), PROOF_LIMIT_NS);
        (0..MOST_STRANGERS).for_each(|_| assert!(doorman.admit()));
        assert_eq!(doorman.patience_ns(), CROWDED_LIMIT_NS);
        doorman.leave(false);
        assert_eq!(doorman.patience_ns(), PROOF_LIMIT_NS);
    }

    #[test]
    fn there_is_an_end_of_places() {
        let mut doorman = Doorman::new();
        for _ in 0..MOST_SESSIONS {
            assert!(doorman.admit());
            doorman.know();
        }
        assert!(!doorman.admit());
        doorman.leave(true);
        assert!(doorman.admit());
        doorman.know();
        (0..MOST_SESSIONS).for_each(|_| doorman.leave(true));
        assert_eq!(doorman, Doorman::new());
    }

    #[test]
    fn wrong_proofs_wait_longer_and_longer_until_they_stop() {
        let mut doorman = Doorman::new();
        let now_ns = 100 * FORGET_NS;
        let waits: std::vec::Vec<u64> = (0..40).map(|_| doorman.failed(now_ns)).collect();
        assert_eq!(waits[0], FIRST_DELAY_NS);
        assert_eq!(waits[1], 2 * FIRST_DELAY_NS);
        assert!(waits.is_sorted());
        assert_eq!(waits[39], LONGEST_DELAY_NS);
        assert_eq!(doorman.failed(now_ns + FORGET_NS + 1), FIRST_DELAY_NS);
    }
}
