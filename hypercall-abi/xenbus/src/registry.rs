//! The store as the toolstack uses it: with the domains that may talk to it.

use crate::store::Store;
use hypercall_abi::{DomId, Errno, EvtchnPort, Mfn};

/// A store that serves domains over their rings.
pub trait Registry: Store {
    /// Serves a domain: its ring page is `frame`, its port is open for the control domain.
    ///
    /// # Errors
    /// What prevented it; the domain is not served then.
    fn introduce(&self, domain: DomId, frame: Mfn, port: EvtchnPort) -> Result<(), Errno>;

    /// Ends that, with all the domain had in the store: watches, transactions, nodes it owns, and
    /// what others allowed it. One that is not served is as wanted.
    fn release(&self, domain: DomId);

    /// Notes that a domain has ended, though it still exists, for those who watch
    /// `@releaseDomain`.
    fn domain_ended(&self, domain: DomId);

    /// Whether a domain would hear of a change at `path`.
    fn is_watched_by(&self, domain: DomId, path: &str) -> bool;
}
