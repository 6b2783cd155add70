//! The rings of a guest's card, mapped, and its port.

use super::wake;
use alloc::boxed::Box;
use alloc::sync::Arc;
use core::sync::atomic::{AtomicBool, Ordering};
use hypercall_abi::{DomId, Errno, EvtchnPort, GrantRef};
use pv_ring::{NetRxPage, NetTxPage};
use pvkernel_xen::event;
use pvkernel_xen::grants::GrantMapping;
use pvkernel_xen::netring::{rx_ring, tx_ring};
use zl_backends::net::Wire;

/// Pages of the mapping.
const TX: usize = 0;
const RX: usize = 1;

/// What a guest's front half published.
#[derive(Clone, Copy, Debug)]
pub struct Published {
    /// The guest.
    pub peer: DomId,
    /// Grant of the ring of packets from it.
    pub tx: GrantRef,
    /// Grant of the ring of packets to it.
    pub rx: GrantRef,
    /// Its port.
    pub port: EvtchnPort,
}

/// A connected card; unmapped and closed when dropped.
pub struct Ring {
    peer: DomId,
    mapping: GrantMapping,
    port: EvtchnPort,
    has_event: Arc<AtomicBool>,
}

impl Ring {
    /// Maps the rings and binds the port.
    ///
    /// # Errors
    /// What the hypervisor says to either.
    pub fn new(published: &Published) -> Result<Self, Errno> {
        let Published { peer, tx, rx, port } = *published;
        let mapping = GrantMapping::new(peer, &[tx, rx], true)?;
        let port = event::bind_interdomain(peer, port)?;
        let has_event = Arc::new(AtomicBool::new(true));
        let told = Arc::clone(&has_event);
        let handler = move || {
            told.store(true, Ordering::Release);
            wake();
        };
        event::on_event(port, Box::new(handler));
        Ok(Self { peer, mapping, port, has_event })
    }
}

impl Wire for Ring {
    fn tx(&self) -> &NetTxPage {
        tx_ring(self.mapping.memory(), TX)
    }

    fn rx(&self) -> &NetRxPage {
        rx_ring(self.mapping.memory(), RX)
    }

    fn peer(&self) -> DomId {
        self.peer
    }

    fn notify(&self, _tx: bool, _rx: bool) {
        // A guest that closed its end is on its way to be noticed through the store.
        let _ = event::notify(self.port);
    }

    fn take_event(&self) -> bool {
        self.has_event.swap(false, Ordering::AcqRel)
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        // A port of ours can be closed.
        let _ = event::unbind(self.port);
    }
}
