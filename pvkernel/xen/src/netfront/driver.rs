//! The cards of this domain, found through the store.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, Ordering};

use hypercall_abi::Errno;
use pv_xenbus::State;
use pvkernel_core::device::net::Mac;
use pvkernel_core::sync::Lock;

use super::Netfront;
use crate::thread::WaitQueue;
use crate::xenbus::{serve_fronts, Device, FrontDriver, Publication};

/// What a card carries when the tools say nothing.
const DEFAULT_MTU: usize = 1500;

static CARDS: Lock<Vec<Arc<Netfront>>> = Lock::new(Vec::new());
static CHANGED: WaitQueue = WaitQueue::new();
static STARTED: AtomicBool = AtomicBool::new(false);

/// Looks for network cards, now and whenever one is added.
///
/// # Errors
/// `ENODEV` without a store, `ENOMEM`.
pub fn start() -> Result<(), Errno> {
    if STARTED.swap(true, Ordering::Relaxed) {
        return Ok(());
    }
    let started = serve_fronts("vif", State::Connected, |device| Box::new(Driver::new(device)));
    STARTED.store(started.is_ok(), Ordering::Relaxed);
    started
}

/// The cards that were found, in no order.
#[must_use]
pub fn cards() -> Vec<Arc<Netfront>> {
    CARDS.lock().clone()
}

/// Waits until the card of this number is connected; none when it is not by then.
pub fn wait_card(index: u32, deadline_ns: u64) -> Option<Arc<Netfront>> {
    start().ok()?;
    let find = || CARDS.lock().iter().find(|card| card.index() == index).map(Arc::clone);
    let mut card = None;
    CHANGED.wait_deadline(deadline_ns, || {
        card = find();
        card.is_some()
    });
    card.filter(|card| card.wait_connected(deadline_ns))
}

/// The driver of one card.
struct Driver {
    card: Result<Arc<Netfront>, String>,
}

impl Driver {
    fn new(device: &Device) -> Self {
        let mtu = device.own_number("mtu").ok().and_then(|mtu| usize::try_from(mtu).ok());
        let mac = device.own_text("mac").ok().and_then(|text| parse_mac(&text));
        let card = match mac {
            Some(mac) => Ok(Netfront::new(device.id(), mac, mtu.unwrap_or(DEFAULT_MTU))),
            None => Err(format!("network card {}: the node 'mac' is no address", device.id())),
        };
        if let Ok(card) = &card {
            CARDS.lock().push(Arc::clone(card));
            CHANGED.wake_all();
        }
        Self { card }
    }
}

impl FrontDriver for Driver {
    fn publish(&mut self, device: &Device) -> Result<Publication, String> {
        let card = self.card.as_ref().map_err(Clone::clone)?;
        let made = card.prepare(device.peer());
        let (tx, rx, port) =
            made.map_err(|errno| format!("rings and pages: {} ({})", errno.name(), errno.text()))?;
        let node = |key: &str, value: u32| (key.to_string(), value.to_string());
        Ok(vec![
            node("tx-ring-ref", tx.get()),
            node("rx-ring-ref", rx.get()),
            node("event-channel", port.get()),
            node("request-rx-copy", 1),
            node("feature-rx-notify", 1),
            node("feature-sg", 1),
            node("feature-gso-tcpv4", 1),
        ])
    }

    fn connect(&mut self, _device: &Device) -> Result<(), String> {
        let card = self.card.as_ref().map_err(Clone::clone)?;
        card.connect();
        Ok(())
    }

    fn disconnect(&mut self, _device: &Device) {
        if let Ok(card) = &self.card {
            card.disconnect();
        }
    }

    fn remove(&mut self, _device: &Device) {
        let Ok(card) = &self.card else { return };
        card.remove();
        CARDS.lock().retain(|other| !Arc::ptr_eq(other, card));
        CHANGED.wake_all();
    }
}

/// Six pairs of hexadecimal digits.
fn parse_mac(text: &str) -> Option<Mac> {
    let mut mac = Mac::default();
    let mut parts = text.trim().split(':');
    for byte in &mut mac {
        let part = parts.next().filter(|part| part.len() == 2)?;
        *byte = u8::from_str_radix(part, 16).ok()?;
    }
    parts.next().is_none().then_some(mac)
}

#[cfg(test)]
mod tests {
    use super::parse_mac;

    #[test]
    fn addresses_are_six_pairs() {
        assert_eq!(parse_mac("00:16:3e:0a:BC:ff"), Some([0, 0x16, 0x3e, 0x0a, 0xbc, 0xff]));
        for wrong in ["", "00:16:3e:0a:bc", "00:16:3e:0a:bc:ff:00", "0:16:3e:0a:bc:ff", "00-16"] {
            assert_eq!(parse_mac(wrong), None, "{wrong}");
        }
    }
}
