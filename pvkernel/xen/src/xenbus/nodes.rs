//! The nodes of one device, as one of its halves sees them.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use hypercall_abi::{DomId, Errno};
use pv_xenbus::{path, retry, State, Store, Tx};

/// Nodes of the other half that are compared to find out whether it is still the same; a directory of
/// more is no device.
const MAX_NODES: usize = 256;

/// A device: where its nodes are and who has the other half.
pub struct Device {
    store: &'static dyn Store,
    own: String,
    other: String,
    peer: DomId,
    id: u32,
}

impl Device {
    pub(super) fn new(
        store: &'static dyn Store,
        own: String,
        other: String,
        peer: DomId,
        id: u32,
    ) -> Self {
        Self { store, own, other, peer, id }
    }

    /// The number that names the device among those of its kind and domain.
    #[must_use]
    pub const fn id(&self) -> u32 {
        self.id
    }

    /// The domain of the other half.
    #[must_use]
    pub const fn peer(&self) -> DomId {
        self.peer
    }

    /// The store the nodes are in.
    #[must_use]
    pub const fn store(&self) -> &'static dyn Store {
        self.store
    }

    /// Path of our own nodes.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.own
    }

    /// Path of the other half's nodes.
    #[must_use]
    pub fn other_path(&self) -> &str {
        &self.other
    }

    /// Text of a node of ours.
    ///
    /// # Errors
    /// As [`Store::text`].
    pub fn own_text(&self, key: &str) -> Result<String, Errno> {
        self.store.text(Tx::NONE, &path::child(&self.own, key))
    }

    /// Number in a node of ours.
    ///
    /// # Errors
    /// As [`Store::number`].
    pub fn own_number(&self, key: &str) -> Result<u64, Errno> {
        self.store.number(Tx::NONE, &path::child(&self.own, key))
    }

    /// Text of a node of the other half. It can be anything.
    ///
    /// # Errors
    /// As [`Store::text`].
    pub fn other_text(&self, key: &str) -> Result<String, Errno> {
        self.store.text(Tx::NONE, &path::child(&self.other, key))
    }

    /// Number in a node of the other half. It can be any.
    ///
    /// # Errors
    /// As [`Store::number`].
    pub fn other_number(&self, key: &str) -> Result<u64, Errno> {
        self.store.number(Tx::NONE, &path::child(&self.other, key))
    }

    /// Whether the other half has a `feature-` node (or another one) that is not 0.
    #[must_use]
    pub fn other_has(&self, key: &str) -> bool {
        self.other_number(key).is_ok_and(|number| number != 0)
    }

    /// Writes a node of ours, if the device still exists.
    ///
    /// # Errors
    /// `ENOENT` when it does not; otherwise as [`Store::write`].
    pub fn write(&self, key: &str, value: &str) -> Result<(), Errno> {
        self.write_all(&[(key, value)])
    }

    /// Writes several nodes of ours at once, if the device still exists.
    ///
    /// # Errors
    /// As [`Device::write`]; nothing is written then.
    pub fn write_all(&self, nodes: &[(&str, &str)]) -> Result<(), Errno> {
        retry(self.store, |tx| {
            // Writing makes missing parents: a device that is gone must not come back half.
            self.store.read(tx, &path::child(&self.own, "state"))?;
            self.write_in(tx, nodes)
        })
    }

    fn write_in(&self, tx: Tx, nodes: &[(&str, &str)]) -> Result<(), Errno> {
        nodes.iter().try_for_each(|(key, value)| {
            self.store.write(tx, &path::child(&self.own, key), value.as_bytes())
        })
    }

    /// Removes a node of ours.
    ///
    /// # Errors
    /// As [`Store::rm`].
    pub fn remove(&self, key: &str) -> Result<(), Errno> {
        self.store.rm(Tx::NONE, &path::child(&self.own, key))
    }

    /// Leaves a line about what went wrong in our `error` node.
    pub fn report(&self, text: &str) {
        // A device that is gone needs no explanation.
        let _ = self.write("error", text);
    }

    /// Our state; `None` when the device does not exist.
    pub(super) fn own_state(&self) -> Result<Option<State>, Errno> {
        state_at(self.store, Tx::NONE, &self.own)
    }

    /// The other half's state; `None` when it does not exist.
    pub(super) fn other_state(&self) -> Result<Option<State>, Errno> {
        state_at(self.store, Tx::NONE, &self.other)
    }

    /// Says a state, if the device still exists.
    pub(super) fn say(&self, state: State) {
        // If it does not, the next look will show it.
        let _ = self.write("state", &state.to_string());
    }

    /// Publishes nodes and a state while the other half is in a state that `fits`; false when it was not.
    pub(super) fn publish(
        &self,
        nodes: &[(String, String)],
        state: State,
        fits: impl Fn(Option<State>) -> bool,
    ) -> Result<bool, Errno> {
        retry(self.store, |tx| {
            let exists = state_at(self.store, tx, &self.own)?.is_some();
            if !exists || !fits(state_at(self.store, tx, &self.other)?) {
                return Ok(false);
            }
            for (key, value) in nodes {
                self.store.write(tx, &path::child(&self.own, key), value.as_bytes())?;
            }
            let state = state.to_string();
            self.write_in(tx, &[("state", state.as_str())]).map(|()| true)
        })
    }

    /// Everything that the other half has published except its state.
    pub(super) fn other_nodes(&self) -> Result<Vec<(String, Vec<u8>)>, Errno> {
        let mut nodes = Vec::new();
        let names = self.store.list(Tx::NONE, &self.other)?;
        if names.len() > MAX_NODES {
            return Err(Errno::E2BIG);
        }
        for name in names.into_iter().filter(|name| name != "state") {
            match self.store.read(Tx::NONE, &path::child(&self.other, &name)) {
                Ok(value) => nodes.push((name, value)),
                Err(Errno::ENOENT) => {}
                Err(errno) => return Err(errno),
            }
        }
        nodes.sort();
        Ok(nodes)
    }
}

fn state_at(store: &dyn Store, tx: Tx, directory: &str) -> Result<Option<State>, Errno> {
    match store.read(tx, &path::child(directory, "state")) {
        Ok(value) => Ok(Some(State::of_value(&value))),
        // Somebody else's nodes are as good as none.
        Err(Errno::ENOENT | Errno::EACCES) => Ok(None),
        Err(errno) => Err(errno),
    }
}

/// A path from the store that this domain may follow: absolute and valid.
pub(super) fn directory(text: &str) -> Result<String, Errno> {
    let valid = path::is_valid(text) && text != path::ROOT;
    valid.then(|| String::from(text)).ok_or(Errno::EINVAL)
}

/// A line about an error number.
pub(super) fn describe(what: &str, errno: Errno) -> String {
    format!("{what}: {} ({})", errno.name(), errno.text())
}
