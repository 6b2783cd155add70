//! The front half of a device, by hand: its nodes, its port, and the states in an order that works.

use alloc::format;
use alloc::string::{String, ToString};

use hypercall_abi::io::xenbus::{
    STATE_CLOSED, STATE_CONNECTED, STATE_INITIALISING, STATE_INIT_WAIT,
};
use hypercall_abi::{DomId, EvtchnPort};
use pv_xenbus::{Store, Tx};
use pvkernel_xen::{event, thread, time, xenstore};

/// How long the back half may take for a step; there is other load.
const LIMIT_NS: u64 = 20_000_000_000;
/// How often its state is looked at.
const LOOK_NS: u64 = 2_000_000;

/// A front half.
pub struct Half {
    /// The store.
    pub store: &'static dyn Store,
    /// Path of its own nodes.
    pub front: String,
    back: String,
    port: Option<EvtchnPort>,
}

impl Half {
    /// The first device of a kind.
    pub fn find(kind: &str) -> Result<Self, String> {
        let store = xenstore::store();
        let all = format!("device/{kind}");
        let names =
            store.list(Tx::NONE, &all).map_err(|errno| format!("{all}: {}", errno.name()))?;
        let name = names.first().ok_or_else(|| format!("{all} is empty"))?;
        let front = format!("{all}/{name}");
        let back = store.text(Tx::NONE, &format!("{front}/backend"));
        let back = back.map_err(|errno| format!("{front}/backend: {}", errno.name()))?;
        Ok(Self { store, front, back, port: None })
    }

    /// Writes a node of its own; the store may refuse it.
    pub fn set(&self, key: &str, value: &[u8]) {
        let _ = self.store.write(Tx::NONE, &format!("{}/{key}", self.front), value);
    }

    /// The state the back half announces.
    pub fn back_state(&self) -> u32 {
        let state = self.store.number(Tx::NONE, &format!("{}/state", self.back));
        state.ok().and_then(|state| u32::try_from(state).ok()).unwrap_or(0)
    }

    fn wait_for(&self, wanted: &[u32], limit_ns: u64) -> Result<(), String> {
        let end_ns = time::now_ns() + limit_ns;
        loop {
            let state = self.back_state();
            if wanted.contains(&state) {
                return Ok(());
            }
            if time::now_ns() > end_ns {
                let error = self.store.text(Tx::NONE, &format!("{}/error", self.back));
                let error = error.unwrap_or_default();
                return Err(format!(
                    "the back half stays in state {state} '{error}', not {wanted:?}"
                ));
            }
            thread::sleep_ns(LOOK_NS);
        }
    }

    /// A port the back half can bind; the one before is closed.
    pub fn new_port(&mut self) -> Result<EvtchnPort, String> {
        self.close_port();
        let port = event::alloc_unbound(DomId::DOM0).map_err(|errno| errno.name().to_string())?;
        self.port = Some(port);
        Ok(port)
    }

    fn close_port(&mut self) {
        if let Some(port) = self.port.take() {
            let _ = event::unbind(port);
        }
    }

    /// Notifies the back half; one that has given up does not hear it.
    pub fn notify(&self) {
        if let Some(port) = self.port {
            let _ = event::notify(port);
        }
    }

    /// Leads both halves, wherever they are, to where rings can be published.
    pub fn begin(&mut self) -> Result<(), String> {
        let mut verdict = Ok(());
        for _ in 0..4 {
            self.set("state", STATE_CLOSED.to_string().as_bytes());
            self.wait_for(&[STATE_CLOSED, STATE_INIT_WAIT], LIMIT_NS)?;
            self.set("state", STATE_INITIALISING.to_string().as_bytes());
            // It may have been about to look at an older state of ours.
            verdict = self.wait_for(&[STATE_INIT_WAIT], LIMIT_NS / 4);
            if verdict.is_ok() {
                break;
            }
        }
        verdict
    }

    /// Publishes nodes with a port of its own, and waits until the back half has taken them.
    pub fn connect(&mut self, nodes: &[(&str, String)], state: u32) -> Result<(), String> {
        self.begin()?;
        let port = self.new_port()?;
        self.set("event-channel", port.to_string().as_bytes());
        for (key, value) in nodes {
            self.set(key, value.as_bytes());
        }
        self.set("state", state.to_string().as_bytes());
        self.wait_for(&[STATE_CONNECTED], LIMIT_NS)
    }
}
