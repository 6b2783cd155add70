//! The domains this toolstack knows, and what may be done with them.
//!
//! [`Toolstack`] is the one object behind all verbs: it creates and destroys, pauses and renames,
//! and reacts when a domain ends. The control domain keeps it behind a lock; verbs, the console
//! service and the watcher of ends take turns.
//!
//! Each domain has its place in the store as long as it has a record; `home` makes and removes it.
//!
//! Invariant: every record stands for a domain this toolstack created and that the hypervisor still
//! knew at the last look; names are unique. No call here waits.

mod attachments;
mod consoles;
mod control;
#[cfg(test)]
mod devices_tests;
mod ending;
mod ends;
mod home;
#[cfg(test)]
mod home_tests;
pub mod policy;
mod records;
#[cfg(test)]
mod tests;
mod waits;

pub use consoles::{ConsoleId, ConsoleText};
pub use control::{Created, DomainRow, StartMode};
pub use ending::Manner;
pub use waits::{WaitId, LIMIT_NS};

use crate::archive::Archive;
use crate::client::Hypervisor;
use crate::config::DOM0_NAME;
use crate::console::LastWords;
use crate::staged::{is_path, Staged};
use alloc::string::String;
use alloc::vec::Vec;
use consoles::Finished;
use pv_xenbus::Registry;
use records::Record;
use waits::Wait;

/// Most notices that wait for somebody to read them.
const MOST_NOTICES: usize = 64;

/// All that is known about the domains of this machine.
pub struct Toolstack<'a, H: Hypervisor + Clone> {
    hypervisor: H,
    store: &'a dyn Registry,
    archive: Archive<'a>,
    staged: Staged,
    records: Vec<Record<H>>,
    finished: Vec<Finished>,
    notices: Vec<String>,
    last_words: LastWords,
    next_console: u64,
    waits: Vec<Wait>,
    next_wait: u64,
    /// Counts up so that two domains created in one nanosecond differ.
    uuid_seed: u64,
}

impl<'a, H: Hypervisor + Clone> Toolstack<'a, H> {
    /// A toolstack that takes kernels and configurations from `archive` and keeps what it tells
    /// others about its domains in `store`.
    #[must_use]
    pub fn new(hypervisor: H, archive: Archive<'a>, store: &'a dyn Registry) -> Self {
        let uuid_seed = hypervisor.now_ns();
        // A store that refuses this refuses the first domain as well, and that is told.
        let _ = home::make_control(store, DOM0_NAME);
        Self {
            hypervisor,
            store,
            archive,
            staged: Staged::default(),
            records: Vec::new(),
            finished: Vec::new(),
            notices: Vec::new(),
            last_words: LastWords::default(),
            next_console: 1,
            waits: Vec::new(),
            next_wait: 1,
            uuid_seed,
        }
    }

    /// The hypervisor underneath.
    #[must_use]
    pub fn hypervisor(&self) -> &H {
        &self.hypervisor
    }

    /// The store.
    #[must_use]
    pub fn store(&self) -> &'a dyn Registry {
        self.store
    }

    /// The files of the control domain.
    #[must_use]
    pub fn archive(&self) -> &Archive<'a> {
        &self.archive
    }

    /// Puts files ready for the next verb, in place of those that lay ready before.
    pub fn stage(&mut self, staged: Staged) {
        self.staged = staged;
    }

    /// A file by the name a configuration or a person uses: one that lies ready, or one of the archive.
    #[must_use]
    pub fn file(&self, name: &str) -> Option<&[u8]> {
        let staged = self.staged.get(name).map(|contents| contents.as_slice());
        staged.or_else(|| self.archive.get(name))
    }

    /// Paths of the kernels and ramdisks of all domains, which `handle_ends` may want in order to start
    /// one again.
    #[must_use]
    pub fn wanted_for_restart(&self) -> Vec<String> {
        let names = self.records.iter().flat_map(|record| {
            let ramdisk = record.config.ramdisk.as_ref();
            core::iter::once(&record.config.kernel).chain(ramdisk)
        });
        names.filter(|name| is_path(name)).cloned().collect()
    }

    /// What happened since the last call, one line each, for the person at the shell.
    #[must_use]
    pub fn take_notices(&mut self) -> Vec<String> {
        core::mem::take(&mut self.notices)
    }

    /// Whether there is a notice to take.
    #[must_use]
    pub fn has_notices(&self) -> bool {
        !self.notices.is_empty()
    }

    fn notice(&mut self, text: String) {
        if self.notices.len() < MOST_NOTICES {
            self.notices.push(text);
        }
    }
}
