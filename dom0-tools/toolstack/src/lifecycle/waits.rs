//! Waiting for back halves, without waiting.
//!
//! A domain with devices runs when all their back halves are ready, a device that is attached or
//! detached is so when its back half says it. Each of these is a [`Wait`]: the service of the control
//! domain calls [`Toolstack::serve_devices`] whenever something below the back halves changed in the
//! store and when [`Toolstack::next_limit_ns`] has come; whoever carries the verb out asks for the
//! verdict meanwhile.
//!
//! Invariant: every wait gets a verdict: from its back halves, from its limit, or from the end of its
//! domain. One that fails has been undone by then.

use super::control::{unpause_failed, StartMode};
use super::Toolstack;
use crate::client::Hypervisor;
use crate::devices::{self, DeviceId, Progress};
use crate::error::{Status, ToolError};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use hypercall_abi::DomId;

/// How long back halves may take.
pub const LIMIT_NS: u64 = 10_000_000_000;

/// Names a wait; never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WaitId(u64);

/// What is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum What {
    /// All back halves of a new domain, before it may run.
    Start(DomId, StartMode),
    /// One back half, of a domain that runs.
    Attach(DeviceId),
    /// The end of one.
    Detach(DeviceId),
}

impl What {
    fn domain(&self) -> DomId {
        match self {
            Self::Start(domain, _) => *domain,
            Self::Attach(id) | Self::Detach(id) => id.domain,
        }
    }
}

pub(super) struct Wait {
    id: WaitId,
    what: What,
    limit_ns: u64,
    /// Somebody will ask for the verdict.
    is_asked: bool,
    verdict: Option<Result<(), ToolError>>,
}

impl<H: Hypervisor + Clone> Toolstack<'_, H> {
    /// Looks at the back halves that somebody waits for.
    pub fn serve_devices(&mut self) {
        self.remove_what_was_left();
        let open: Vec<(WaitId, What, u64)> = self
            .waits
            .iter()
            .filter(|wait| wait.verdict.is_none())
            .map(|wait| (wait.id, wait.what, wait.limit_ns))
            .collect();
        for (id, what, limit_ns) in open {
            let is_late = self.hypervisor.now_ns() >= limit_ns;
            let verdict = match what {
                What::Start(domain, mode) => self.look_at_start(domain, mode, is_late),
                What::Attach(device) => self.look_at_attach(&device, is_late),
                What::Detach(device) => self.look_at_detach(&device, is_late),
            };
            if let Some(verdict) = verdict {
                self.decide(id, verdict);
            }
        }
    }

    /// When `serve_devices` has something to do although nothing changed.
    #[must_use]
    pub fn next_limit_ns(&self) -> Option<u64> {
        let open = self.waits.iter().filter(|wait| wait.verdict.is_none());
        open.map(|wait| wait.limit_ns).min()
    }

    /// How a wait ended; then it is forgotten. `None` while it goes on.
    pub fn verdict(&mut self, id: WaitId) -> Option<Result<(), ToolError>> {
        let at = self.waits.iter().position(|wait| wait.id == id && wait.verdict.is_some())?;
        let verdict = self.waits.remove(at).verdict;
        self.waits.shrink_to_fit();
        verdict
    }

    /// Nobody asks for the verdict any more; a failure becomes a notice.
    pub fn leave_wait(&mut self, id: WaitId) {
        if let Some(wait) = self.waits.iter_mut().find(|wait| wait.id == id) {
            wait.is_asked = false;
        }
        self.forget_decided();
    }

    /// Whether a domain waits for its devices.
    pub(super) fn is_starting(&self, domain: DomId) -> bool {
        let is_it = |wait: &Wait| matches!(wait.what, What::Start(other, _) if other == domain);
        self.waits.iter().any(|wait| wait.verdict.is_none() && is_it(wait))
    }

    /// Begins a wait; `is_asked` says that somebody will ask for the verdict.
    pub(super) fn wait_for(&mut self, what: What, is_asked: bool) -> WaitId {
        let id = WaitId(self.next_wait);
        self.next_wait += 1;
        let limit_ns = self.hypervisor.now_ns().saturating_add(LIMIT_NS);
        self.waits.push(Wait { id, what, limit_ns, is_asked, verdict: None });
        // A back half that was faster is not missed.
        self.serve_devices();
        id
    }

    /// The domain is gone, and with it what was waited for.
    pub(super) fn end_waits_of(&mut self, domain: DomId) {
        for wait in &mut self.waits {
            if wait.what.domain() == domain && wait.verdict.is_none() {
                wait.verdict = Some(match wait.what {
                    What::Detach(_) => Ok(()),
                    _ => Err(ToolError::failed(format!("domain {domain} ended meanwhile"))),
                });
            }
        }
        self.waits.retain(|wait| wait.is_asked || wait.verdict.is_none());
        self.waits.shrink_to_fit();
    }

    fn decide(&mut self, id: WaitId, verdict: Result<(), ToolError>) {
        // The end of its domain may have been the verdict already; the cause is the better one.
        if let Some(wait) = self.waits.iter_mut().find(|wait| wait.id == id) {
            wait.verdict = Some(verdict);
        } else if let Err(error) = verdict {
            self.notice(format!("{error}"));
        }
        self.forget_decided();
    }

    fn forget_decided(&mut self) {
        let mut notices = Vec::new();
        self.waits.retain(|wait| match (&wait.verdict, wait.is_asked) {
            (Some(Err(error)), false) => {
                notices.push(format!("{error}"));
                false
            }
            (Some(Ok(())), false) => false,
            _ => true,
        });
        self.waits.shrink_to_fit();
        notices.into_iter().for_each(|text| self.notice(text));
    }

    /// Lets a domain run when all of its back halves are ready; destroys it when one cannot be.
    fn look_at_start(
        &mut self,
        domain: DomId,
        mode: StartMode,
        is_late: bool,
    ) -> Option<Result<(), ToolError>> {
        let ids = self.record(domain)?.device_ids();
        let looked: Vec<(DeviceId, Progress)> =
            ids.into_iter().map(|id| (id, devices::progress(self.store, &id))).collect();
        let failed = looked.iter().find_map(|(id, progress)| match progress {
            Progress::Failed(text) => Some(ToolError::failed(format!("{id}: {text}"))),
            Progress::Closed | Progress::Gone => Some(ToolError::failed(format!(
                "{id}: its back end gave it up; see 'zl xenstore-ls'"
            ))),
            Progress::Waiting if is_late => Some(no_answer(id)),
            Progress::Waiting | Progress::Ready => None,
        });
        if let Some(error) = failed {
            let name = String::from(self.name_of(domain).unwrap_or("the domain"));
            let text = format!("{name} does not start: {}", error.text);
            return Some(Err(self.undo_start(domain, ToolError { text, ..error })));
        }
        if looked.iter().any(|(_, progress)| *progress != Progress::Ready) {
            return None;
        }
        if mode == StartMode::Running {
            if let Err(errno) = self.hypervisor.unpause_domain(domain) {
                return Some(Err(self.undo_start(domain, unpause_failed(domain, errno))));
            }
        }
        Some(Ok(()))
    }

    fn undo_start(&mut self, domain: DomId, error: ToolError) -> ToolError {
        match self.destroy_as(domain, "was destroyed: a device is missing") {
            Ok(()) => error,
            Err(worse) => ToolError { text: format!("{error}; and: {worse}"), ..error },
        }
    }

    fn look_at_attach(&mut self, id: &DeviceId, is_late: bool) -> Option<Result<(), ToolError>> {
        let error = match devices::progress(self.store, id) {
            Progress::Ready => return Some(Ok(())),
            Progress::Waiting if !is_late => return None,
            Progress::Waiting => no_answer(id),
            Progress::Failed(text) => ToolError::failed(format!("{id}: {text}")),
            Progress::Closed | Progress::Gone => {
                ToolError::failed(format!("{id}: it was given up meanwhile"))
            }
        };
        self.drop_device(id);
        Some(Err(error))
    }

    fn look_at_detach(&mut self, id: &DeviceId, is_late: bool) -> Option<Result<(), ToolError>> {
        if devices::is_closed(self.store, id) {
            self.drop_device(id);
            return Some(Ok(()));
        }
        is_late.then(|| {
            let text = format!(
                "{id} of domain {} is still in use there; it goes when the guest lets go of it, or at once \
                 with --force",
                id.domain
            );
            Err(ToolError { status: Status::Timeout, text })
        })
    }

    /// Removes devices that were let go of after nobody waited any more.
    fn remove_what_was_left(&mut self) {
        let leaving = self.records.iter().flat_map(|record| record.leaving.iter().copied());
        let closed: Vec<DeviceId> =
            leaving.filter(|id| devices::is_closed(self.store, id)).collect();
        closed.iter().for_each(|id| self.drop_device(id));
    }

    /// Removes a device from the store and from what is known about its domain.
    pub(super) fn drop_device(&mut self, id: &DeviceId) {
        if let Err(error) = devices::remove(self.store, id) {
            self.notice(format!("{id} of domain {} stays in the store: {error}", id.domain));
        }
        if let Some(record) = self.record_mut(id.domain) {
            record.forget_device(id);
        }
    }
}

fn no_answer(id: &DeviceId) -> ToolError {
    let text =
        format!("{id}: no back end answered within 10 s; see 'zl xenstore-ls {}'", id.back());
    ToolError { status: Status::Timeout, text }
}
