//! Which frame goes where.
//!
//! The switch learns behind which port an address is from the frames it sends. What a port can make
//! it remember is bounded per port, and in all: the newest address takes the place of the same port's
//! oldest, so a guest that invents addresses forgets its own and nobody else's. Entries that were not
//! confirmed for five minutes no longer count. Nothing is allocated after a port was added.

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use pvkernel_core::device::net::Mac;

/// Addresses that are remembered behind one port.
pub const ADDRESSES_PER_PORT: usize = 64;
const AGE_NS: u64 = 300_000_000_000;
/// Frames to these are for the next switch and never passed on (IEEE 802.1D).
const LINK_LOCAL: [u8; 5] = [0x01, 0x80, 0xc2, 0x00, 0x00];

/// A port, from 0 on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PortId(pub usize);

/// Where a frame goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Forward {
    /// Nowhere.
    Drop,
    /// To one port.
    To(PortId),
    /// To every port but the one it came from.
    Flood,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    key: u64,
    port: PortId,
    seen_ns: u64,
}

#[derive(Debug)]
struct Port {
    is_isolated: bool,
    /// Addresses in the order in which they were learned; some may have moved away since.
    learned: VecDeque<u64>,
}

/// The switch.
#[derive(Debug, Default)]
pub struct Switch {
    /// By key.
    entries: Vec<Entry>,
    ports: Vec<Option<Port>>,
}

impl Switch {
    /// A switch without ports.
    #[must_use]
    pub const fn new() -> Self {
        Self { entries: Vec::new(), ports: Vec::new() }
    }

    /// Adds a port, at the lowest free number. Isolated ports do not reach each other.
    pub fn add(&mut self, is_isolated: bool) -> PortId {
        let learned = VecDeque::with_capacity(ADDRESSES_PER_PORT + 1);
        let port = Some(Port { is_isolated, learned });
        let index = self.ports.iter().position(Option::is_none).unwrap_or(self.ports.len());
        match self.ports.get_mut(index) {
            Some(free) => *free = port,
            None => self.ports.push(port),
        }
        // Room for all that the ports may learn, so that learning does not allocate.
        let bound = self.ports.iter().flatten().count() * ADDRESSES_PER_PORT;
        self.entries.reserve_exact(bound.saturating_sub(self.entries.len()));
        PortId(index)
    }

    /// Removes a port and forgets what is behind it.
    pub fn remove(&mut self, port: PortId) {
        self.entries.retain(|entry| entry.port != port);
        if let Some(place) = self.ports.get_mut(port.0) {
            *place = None;
        }
        while matches!(self.ports.last(), Some(None)) {
            self.ports.pop();
        }
        let bound = self.ports.iter().flatten().count() * ADDRESSES_PER_PORT;
        self.entries.shrink_to(bound);
    }

    /// Numbers of ports, some of which may be unused.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ports.len()
    }

    /// Whether there is no port.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ports.is_empty()
    }

    /// Whether a flooded frame from one port goes to another.
    #[must_use]
    pub fn reaches(&self, from: PortId, to: PortId) -> bool {
        let ports = (self.port(from), self.port(to));
        let (Some(sender), Some(receiver)) = ports else { return false };
        from != to && !(sender.is_isolated && receiver.is_isolated)
    }

    /// Decides on a frame that came from a port, and learns from it.
    pub fn forward(&mut self, from: PortId, frame: &[u8], now_ns: u64) -> Forward {
        let addresses = frame.first_chunk::<12>().map(|both| both.split_at(6));
        let Some((to, sender)) = addresses else { return Forward::Drop };
        if is_group(sender) || self.port(from).is_none() || to.starts_with(&LINK_LOCAL) {
            return Forward::Drop;
        }
        self.learn(key(sender), from, now_ns);
        if is_group(to) {
            return Forward::Flood;
        }
        match self.find(key(to), now_ns) {
            Some(port) if self.reaches(from, port) => Forward::To(port),
            Some(_) => Forward::Drop,
            None => Forward::Flood,
        }
    }

    /// The port behind which an address is.
    #[must_use]
    pub fn port_of(&self, mac: &Mac, now_ns: u64) -> Option<PortId> {
        self.find(key(mac), now_ns)
    }

    fn port(&self, port: PortId) -> Option<&Port> {
        self.ports.get(port.0)?.as_ref()
    }

    fn find(&self, key: u64, now_ns: u64) -> Option<PortId> {
        let at = self.entries.binary_search_by_key(&key, |entry| entry.key).ok()?;
        let entry = self.entries.get(at)?;
        (now_ns.saturating_sub(entry.seen_ns) < AGE_NS).then_some(entry.port)
    }

    fn learn(&mut self, key: u64, port: PortId, now_ns: u64) {
        let found = self.entries.binary_search_by_key(&key, |entry| entry.key);
        if let Ok(at) = found {
            let Some(entry) = self.entries.get_mut(at) else { return };
            entry.seen_ns = now_ns;
            if core::mem::replace(&mut entry.port, port) == port {
                return;
            }
            self.note(key, port);
            return;
        }
        self.note(key, port);
        // Making room moved the others.
        let found = self.entries.binary_search_by_key(&key, |entry| entry.key);
        if let Err(at) = found {
            self.entries.insert(at, Entry { key, port, seen_ns: now_ns });
        }
    }

    /// Notes an address as learned behind a port, which forgets its oldest if need be.
    fn note(&mut self, key: u64, port: PortId) {
        let place = self.ports.get_mut(port.0).and_then(Option::as_mut);
        let Some(learned) = place.map(|port| &mut port.learned) else { return };
        learned.retain(|other| *other != key);
        learned.push_back(key);
        if learned.len() <= ADDRESSES_PER_PORT {
            return;
        }
        let Some(oldest) = learned.pop_front() else { return };
        self.entries.retain(|entry| entry.key != oldest || entry.port != port);
    }
}

/// A group address, or none at all, which no machine has as its own.
fn is_group(mac: &[u8]) -> bool {
    mac.first().is_some_and(|first| first & 1 != 0) || mac.iter().all(|byte| *byte == 0)
}

fn key(mac: &[u8]) -> u64 {
    mac.iter().fold(0, |key, byte| key << 8 | u64::from(*byte))
}
