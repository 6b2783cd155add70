//! Which nodes a device has in the store, and who may touch them.
//!
//! Xen's layout, so that front halves of other systems find what they look for. The front directory
//! belongs to the guest and the back half reads it; the back directory belongs to the control domain
//! and the guest reads it. Nodes inherit that from their directory, which therefore comes first.
//!
//! Pure: a device in, a list of nodes out.

use super::{Device, DeviceId};
use crate::config::vif::BRIDGE;
use crate::config::{DiskConfig, VifConfig};
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use alloc::{format, vec};
use hypercall_abi::io::xenbus::STATE_INITIALISING;
use hypercall_abi::DomId;
use pv_xenbus::{Perm, Rights};

/// Who owns a node: the other one may read it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reader {
    /// The guest owns it, the back half reads it.
    Back,
    /// The control domain owns it, the guest reads it.
    Front,
}

impl Reader {
    /// The permissions, for a guest.
    #[must_use]
    pub fn perms(self, guest: DomId) -> [Perm; 2] {
        let (owner, reader) = match self {
            Self::Back => (guest, DomId::DOM0),
            Self::Front => (DomId::DOM0, guest),
        };
        [
            Perm { domain: owner, rights: Rights::None },
            Perm { domain: reader, rights: Rights::Read },
        ]
    }
}

/// One node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Where.
    pub path: String,
    /// What.
    pub value: String,
    /// Who may touch it; as its directory when absent.
    pub reader: Option<Reader>,
}

/// All nodes of a device, a directory before what is in it.
#[must_use]
pub fn entries(domain: DomId, device: &Device<'_>) -> Vec<Entry> {
    let id = device.id(domain);
    let (front, back) = match device {
        Device::Disk(disk) => disk_nodes(disk),
        Device::Vif(vif) => vif_nodes(vif),
    };
    let mut all = directory(&id.back(), Reader::Front, common_back(&id).chain(back));
    all.extend(directory(&id.front(), Reader::Back, common_front(&id).chain(front)));
    if let Device::Vif(VifConfig { mtu: Some(mtu), .. }) = device {
        // The guest is told, and cannot tell others something else.
        let path = format!("{}/mtu", id.front());
        all.push(Entry { path, value: mtu.to_string(), reader: Some(Reader::Front) });
    }
    all
}

/// A name and a value.
type Node = (&'static str, String);

fn directory(path: &str, reader: Reader, nodes: impl Iterator<Item = Node>) -> Vec<Entry> {
    let mut all = vec![Entry { path: path.into(), value: String::new(), reader: Some(reader) }];
    all.extend(nodes.map(|(name, value)| Entry {
        path: format!("{path}/{name}"),
        value,
        reader: None,
    }));
    all
}

fn common_front(id: &DeviceId) -> impl Iterator<Item = Node> {
    let nodes = [
        ("backend", id.back()),
        ("backend-id", DomId::DOM0.to_string()),
        ("state", STATE_INITIALISING.to_string()),
    ];
    nodes.into_iter()
}

fn common_back(id: &DeviceId) -> impl Iterator<Item = Node> {
    let nodes = [
        ("frontend", id.front()),
        ("frontend-id", id.domain.to_string()),
        ("online", "1".into()),
        ("state", STATE_INITIALISING.to_string()),
    ];
    nodes.into_iter()
}

/// Nodes of the front half and of the back half.
fn disk_nodes(disk: &DiskConfig) -> (Vec<Node>, Vec<Node>) {
    let front = vec![
        ("virtual-device", disk.vdev.number().to_string()),
        ("device-type", "disk".into()),
        ("trusted", "1".into()),
    ];
    let back = vec![
        ("removable", "0".into()),
        ("bootable", "1".into()),
        ("dev", disk.vdev.to_string()),
        ("type", disk.target.kind().into()),
        ("params", disk.target.params()),
        ("mode", if disk.read_only { "r" } else { "w" }.into()),
        ("device-type", "disk".into()),
        ("discard-enable", u8::from(disk.discard).to_string()),
    ];
    (front, back)
}

fn vif_nodes(vif: &VifConfig) -> (Vec<Node>, Vec<Node>) {
    let mac = vif.mac.map_or_else(String::new, |mac| mac.to_string());
    let handle = vif.devid.to_string();
    let front = vec![("handle", handle.clone()), ("mac", mac.clone()), ("trusted", "1".into())];
    let bridge = vif.bridge.as_deref().unwrap_or(BRIDGE);
    let mut back = vec![
        ("mac", mac),
        ("bridge", bridge.into()),
        ("handle", handle),
        ("type", "vif".into()),
        ("antispoof", u8::from(vif.antispoof).to_string()),
        ("isolated", u8::from(vif.isolated).to_string()),
    ];
    if !vif.ip.is_empty() {
        let ip: Vec<String> = vif.ip.iter().map(ToString::to_string).collect();
        back.push(("ip", ip.join(" ")));
    }
    if let Some(rate) = vif.rate {
        back.push(("rate", rate.store_value()));
    }
    if let Some(name) = &vif.vifname {
        back.push(("vifname", name.clone()));
    }
    if let Some(mtu) = vif.mtu {
        back.push(("mtu", mtu.to_string()));
    }
    (front, back)
}
