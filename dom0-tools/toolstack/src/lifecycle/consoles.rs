//! Attaching to consoles, also to that of a domain which dies meanwhile.
//!
//! A console outlives its domain as long as somebody is attached, so that `create -c` shows the
//! last byte of a domain that dies at once.

use super::Toolstack;
use crate::client::Hypervisor;
use crate::console::Scrollback;
use crate::error::ToolError;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use hypercall_abi::{DomId, EvtchnPort};

/// Names the console of one life of a domain; never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConsoleId(pub(super) u64);

/// The console of a domain that is gone, with people still attached.
pub(super) struct Finished {
    pub id: ConsoleId,
    pub scrollback: Scrollback,
    pub attached: u32,
    /// How the domain ended.
    pub how: String,
}

/// What a reader of a console gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsoleText {
    /// The bytes.
    pub bytes: Vec<u8>,
    /// Where to go on reading.
    pub next: u64,
    /// Bytes that were lost to this reader.
    pub missed: u64,
    /// How the domain ended, once nothing more can come.
    pub ended: Option<String>,
}

impl<H: Hypervisor + Clone> Toolstack<'_, H> {
    /// Attaches to the console of a domain. Each attachment needs one `detach`.
    ///
    /// # Errors
    /// The domain has no console here.
    pub fn attach(&mut self, domain: DomId) -> Result<ConsoleId, ToolError> {
        if domain == DomId::DOM0 {
            let text = "you are on the console of Domain-0 already; name another domain";
            return Err(ToolError::refused(text));
        }
        match self.record_mut(domain) {
            Some(record) => {
                record.attached += 1;
                Ok(record.console_id)
            }
            None => Err(ToolError::refused(format!(
                "domain {domain} was not created here and has no console; see 'zl list'"
            ))),
        }
    }

    /// What a console holds from a place on; `None` when it is neither alive nor attached to.
    #[must_use]
    pub fn read_console(&self, id: ConsoleId, place: u64) -> Option<ConsoleText> {
        let live = self.records.iter().find(|record| record.console_id == id);
        let (scrollback, ended) = match live {
            Some(record) => (record.console.scrollback(), None),
            None => {
                let finished = self.finished.iter().find(|finished| finished.id == id)?;
                (&finished.scrollback, Some(finished.how.clone()))
            }
        };
        let chunk = scrollback.read_from(place);
        Some(ConsoleText { bytes: chunk.bytes, next: chunk.next, missed: chunk.missed, ended })
    }

    /// Types at a domain; returns how many bytes were taken.
    pub fn type_in(&mut self, id: ConsoleId, bytes: &[u8]) -> usize {
        let live = self.records.iter_mut().find(|record| record.console_id == id);
        live.map_or(0, |record| record.console.type_in(bytes))
    }

    /// Ends an attachment.
    pub fn detach(&mut self, id: ConsoleId) {
        if let Some(record) = self.records.iter_mut().find(|record| record.console_id == id) {
            record.attached = record.attached.saturating_sub(1);
        }
        if let Some(finished) = self.finished.iter_mut().find(|finished| finished.id == id) {
            finished.attached = finished.attached.saturating_sub(1);
        }
        self.finished.retain(|finished| finished.attached > 0);
        self.finished.shrink_to_fit();
    }

    /// Serves the console behind an event port; other ports are none of its business.
    pub fn pump_port(&mut self, port: EvtchnPort) {
        let found = self.records.iter_mut().find(|record| record.console.port() == port);
        if let Some(record) = found {
            record.console.pump();
        }
    }

    /// Serves all consoles.
    pub fn pump_consoles(&mut self) {
        for record in &mut self.records {
            record.console.pump();
        }
    }

    /// The console of a live domain from its beginning, or the last words of one that is gone.
    ///
    /// # Errors
    /// Nobody of that name is remembered.
    pub fn logs(&self, who: &str) -> Result<Vec<u8>, ToolError> {
        let found = self.find(who);
        let record = found.as_ref().ok().and_then(|domain| self.record(*domain));
        match (record, self.last_words.of(who), found) {
            (Some(record), _, _) => Ok(record.console.scrollback().read_from(0).bytes),
            (None, Some(words), _) => Ok(words.to_vec()),
            (None, None, Err(error)) => Err(error),
            (None, None, Ok(domain)) => Err(ToolError::refused(format!(
                "domain {domain} has no console here; see 'zl list'"
            ))),
        }
    }

    pub(super) fn new_console_id(&mut self) -> ConsoleId {
        let id = ConsoleId(self.next_console);
        self.next_console += 1;
        id
    }
}
