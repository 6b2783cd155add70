//! The last lines of domains that are gone, for the person who comes too late.
//!
//! `zl logs` shows them. The buffers are allocated once, so that keeping them changes no count of
//! memory in use.

use super::Scrollback;
use crate::config::domain::LONGEST_NAME;
use alloc::string::String;
use alloc::vec::Vec;

/// Domains that are remembered.
const SLOTS: usize = 8;
/// Bytes that are remembered of each.
const BYTES: usize = 2048;

/// The last words of the last few domains.
pub struct LastWords {
    slots: Vec<Slot>,
    /// The slot to overwrite next.
    next: usize,
}

struct Slot {
    name: String,
    bytes: Vec<u8>,
}

impl Default for LastWords {
    fn default() -> Self {
        let slot = |_| Slot {
            name: String::with_capacity(LONGEST_NAME),
            bytes: Vec::with_capacity(BYTES),
        };
        Self { slots: (0..SLOTS).map(slot).collect(), next: 0 }
    }
}

impl LastWords {
    /// Remembers the end of what a domain printed.
    pub fn remember(&mut self, name: &str, scrollback: &Scrollback) {
        // A longer name would make the buffer grow; no domain has one.
        let Some(name) = name.get(..name.len().min(LONGEST_NAME)) else { return };
        if let Some(slot) = self.slots.get_mut(self.next) {
            slot.name.clear();
            slot.name.push_str(name);
            slot.bytes.clear();
            slot.bytes.extend(scrollback.tail(BYTES));
        }
        self.next = (self.next + 1) % SLOTS;
    }

    /// The last words of the domain that had this name most recently.
    #[must_use]
    pub fn of(&self, name: &str) -> Option<&[u8]> {
        (1..=SLOTS)
            .filter_map(|back| self.slots.get((self.next + SLOTS - back) % SLOTS))
            .find(|slot| slot.name == name)
            .map(|slot| slot.bytes.as_slice())
    }
}
