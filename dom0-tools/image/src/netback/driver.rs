//! One guest's card, from the store's side.
//!
//! What the tools wrote is read once, when the card is opened: a mistake there is told in the `error`
//! node, before the guest runs. What the guest writes is read when it connects and can be anything.

use super::ring::{Published, Ring};
use super::{netback, wake, Vif};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use hypercall_abi::{Errno, EvtchnPort, GrantRef};
use pvkernel_core::device::net::Mac;
use pvkernel_xen::time;
use pvkernel_xen::xenbus::{BackDriver, Device};
use zl_backends::net::{Identity, Rate, VifOptions};
use zl_backends::switch::PortId;

const DEFAULT_MTU: usize = 1500;
const MTUS: core::ops::RangeInclusive<usize> = 68..=65_500;

/// What is said to any guest. Split ports, IPv6 and multicast filters are not offered.
const FEATURES: &[(&str, &str)] = &[
    ("feature-sg", "1"),
    ("feature-gso-tcpv4", "1"),
    ("feature-rx-copy", "1"),
    ("feature-rx-flip", "0"),
    ("hotplug-status", "connected"),
];

/// The back half of a card.
pub struct VifDriver {
    options: VifOptions,
    port: Option<PortId>,
}

impl VifDriver {
    /// For a device that is not open yet.
    pub fn new(_device: &Device) -> Self {
        Self { options: VifOptions::default(), port: None }
    }
}

impl BackDriver for VifDriver {
    fn open(&mut self, device: &Device) -> Result<(), String> {
        self.options = read_options(device)?;
        let written = device.write_all(FEATURES);
        written.map_err(|errno| format!("features cannot be written: {}", errno.name()))
    }

    fn connect(&mut self, device: &Device) -> Result<(), String> {
        self.disconnect(device);
        let published = read_published(device)?;
        let options = VifOptions {
            takes_large: device.other_has("feature-gso-tcpv4"),
            takes_blank: !device.other_has("feature-no-csum-offload"),
            takes_pages: device.other_has("feature-sg"),
            ..self.options.clone()
        };
        let ring = Ring::new(&published).map_err(|errno| {
            let Published { tx, rx, port, .. } = published;
            let name = errno.name();
            format!("rings {tx} and {rx}, port {port}: {name} ({})", errno.text())
        })?;
        let netback = netback();
        let port = netback.hub.lock().add_guest(ring, options, time::now_ns());
        let vif = Vif { domain: device.peer(), devid: device.id(), port };
        netback.vifs.lock().push(vif);
        self.port = Some(port);
        wake();
        Ok(())
    }

    fn disconnect(&mut self, _device: &Device) {
        let Some(port) = self.port.take() else { return };
        let netback = netback();
        netback.vifs.lock().retain(|vif| vif.port != port);
        netback.hub.lock().remove(port);
    }

    fn close(&mut self, _device: &Device) {}
}

/// A node of the tools', if there is one.
fn node(device: &Device, key: &str) -> Result<Option<String>, String> {
    match device.own_text(key) {
        Ok(text) => Ok(Some(text)),
        Err(Errno::ENOENT) => Ok(None),
        Err(errno) => Err(format!("the node '{key}' cannot be read: {}", errno.name())),
    }
}

fn wrong(key: &str, value: &str, expected: &str) -> String {
    format!("{key} is '{value}', expected {expected}")
}

fn read_options(device: &Device) -> Result<VifOptions, String> {
    let mtu = match node(device, "mtu")? {
        None => DEFAULT_MTU,
        Some(text) => {
            let mtu = text.trim().parse().ok().filter(|mtu| MTUS.contains(mtu));
            mtu.ok_or_else(|| wrong("mtu", &text, "68 to 65500"))?
        }
    };
    let rate = match node(device, "rate")? {
        None => None,
        Some(text) => {
            let rate = Rate::parse(&text).ok_or_else(|| wrong("rate", &text, "BYTES,MICROSECONDS"));
            Some(rate?)
        }
    };
    let flag =
        |key: &str| node(device, key).map(|text| text.is_some_and(|text| text.trim() == "1"));
    let identity = if flag("antispoof")? { Some(read_identity(device)?) } else { None };
    let is_isolated = flag("isolated")?;
    Ok(VifOptions { mtu, rate, identity, is_isolated, ..VifOptions::default() })
}

fn read_identity(device: &Device) -> Result<Identity, String> {
    let text = node(device, "mac")?.unwrap_or_default();
    let expected = "an Ethernet address, which antispoof needs";
    let mac = parse_mac(&text).ok_or_else(|| wrong("mac", &text, expected))?;
    let mut addresses = Vec::new();
    let text = node(device, "ip")?.unwrap_or_default();
    for address in text.split_whitespace() {
        // The length of the network's part, if it is there, says nothing about the sender.
        let (bare, _) = address.split_once('/').unwrap_or((address, ""));
        let parsed = bare.parse::<core::net::Ipv4Addr>();
        let parsed = parsed.map_err(|_| wrong("ip", address, "IPv4 addresses"))?;
        addresses.push(parsed.octets());
    }
    Ok(Identity { mac, addresses })
}

fn read_published(device: &Device) -> Result<Published, String> {
    let number = |key: &str| {
        let number = device.other_number(key).ok().and_then(|number| u32::try_from(number).ok());
        number.ok_or_else(|| format!("the front half's '{key}' is missing or no number"))
    };
    if !device.other_has("request-rx-copy") {
        return Err("the front half does not receive by copy (request-rx-copy)".to_string());
    }
    Ok(Published {
        peer: device.peer(),
        tx: GrantRef::new(number("tx-ring-ref")?),
        rx: GrantRef::new(number("rx-ring-ref")?),
        port: EvtchnPort::new(number("event-channel")?),
    })
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
