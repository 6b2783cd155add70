//! What the backends do to be fast, each with a switch to turn it off.
//!
//! `tricks=WORD,WORD` on the kernel's command line turns savings off, so that what each is worth can be
//! measured. All switches are independent; everything works with any of them. On the bare machine an entry
//! of a page table is always a store and a tree needs no pin: there the first two and `early-pin` change
//! nothing.
//!
//! | word | instead | costs |
//! |---|---|---|
//! | `no-batch` | one hypercall for each entry of a page table | a way into the hypervisor for each page |
//! | `direct-writes` | entries are written; the write traps and is emulated | decoding an instruction for each entry |
//! | `eager-fpu` | floating-point registers are saved and loaded at each switch | 1 KiB of memory traffic |
//! | `early-pin` | page tables are pinned when they are made | a hypercall for each entry from the first |
//! | `no-recycle` | tables of a process that ended are taken apart | checking and releasing them each time |
//! | `no-answers` | calls that only tell something come into the kernel | saving and loading all registers |

use core::sync::atomic::{AtomicU32, Ordering};

use crate::boot;

/// A saving that is turned off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trick {
    /// One hypercall for each entry.
    NoBatch = 0,
    /// Writes that trap.
    DirectWrites = 1,
    /// Registers with each switch.
    EagerFpu = 2,
    /// Pinned when made.
    EarlyPin = 3,
    /// Tables are not used again.
    NoRecycle = 4,
    /// All system calls come into the kernel.
    NoAnswers = 5,
}

const WORDS: [(&str, Trick); 6] = [
    ("no-batch", Trick::NoBatch),
    ("direct-writes", Trick::DirectWrites),
    ("eager-fpu", Trick::EagerFpu),
    ("early-pin", Trick::EarlyPin),
    ("no-recycle", Trick::NoRecycle),
    ("no-answers", Trick::NoAnswers),
];

static SET: AtomicU32 = AtomicU32::new(0);

/// Reads the command line; words nobody knows are told.
pub(super) fn init() {
    let words = boot::info().args().value("tricks").unwrap_or("");
    for word in words.split(',').filter(|word| !word.is_empty()) {
        match find(word) {
            Some(trick) => set(trick, true),
            None => crate::println!("tricks={word}: not known; see user/tricks.rs for the list"),
        }
    }
}

fn find(word: &str) -> Option<Trick> {
    WORDS.iter().find(|(name, _)| *name == word).map(|(_, trick)| *trick)
}

/// Turns a saving off, or on again.
pub fn set(trick: Trick, is_on: bool) {
    let bit = 1 << trick as u32;
    match is_on {
        true => SET.fetch_or(bit, Ordering::Relaxed),
        false => SET.fetch_and(!bit, Ordering::Relaxed),
    };
}

/// Whether a saving is turned off.
#[must_use]
#[inline]
pub fn is_on(trick: Trick) -> bool {
    SET.load(Ordering::Relaxed) & 1 << trick as u32 != 0
}

#[cfg(test)]
mod tests {
    use super::{find, is_on, set, Trick, WORDS};

    #[test]
    fn every_word_has_its_own_switch() {
        for (index, (word, trick)) in WORDS.iter().enumerate() {
            assert_eq!(*trick as usize, index);
            assert_eq!(find(word), Some(*trick));
        }
        assert_eq!(find("no"), None::<Trick>);
        set(Trick::NoAnswers, true);
        assert!(is_on(Trick::NoAnswers) && !is_on(Trick::EagerFpu));
        set(Trick::NoAnswers, false);
        assert!(!is_on(Trick::NoAnswers));
    }
}
