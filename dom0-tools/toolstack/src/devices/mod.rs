//! Devices of domains, as the store describes them.
//!
//! `lifecycle` calls it when a domain is created or destroyed and when a device is attached or
//! detached; the verbs list what it finds. `layout` says which nodes a device has, `attach` writes and
//! removes them, `status` reads what the two halves have made of them.
//!
//! Invariant: the directories of the back half belong to the control domain and are all that is
//! believed. What stands in those of the front half is a guest's word: it is shown, never followed.
//!
//! Nothing here waits for a back half; that is seen in the store later.

mod attach;
mod counts;
mod layout;
#[cfg(any(test, feature = "fake"))]
pub mod map_store;
mod status;
#[cfg(test)]
mod tests;

pub use attach::{attach, attached, begin_detach, remove, remove_all};
pub use counts::{DiskCounts, IoStats, NetCounts, NoIo};
pub use layout::{entries, Entry, Reader};
pub use status::{disk_row, is_closed, progress, vif_row, DiskRow, Halves, Progress, VifRow};

use crate::config::{DiskConfig, Vdev, VifConfig};
use alloc::format;
use alloc::string::{String, ToString};
use core::fmt;
use hypercall_abi::DomId;
use serde::Serialize;

/// The kinds of devices.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A disk.
    Vbd,
    /// A network card.
    Vif,
}

impl Kind {
    /// All.
    pub const ALL: [Self; 2] = [Self::Vbd, Self::Vif];

    /// The word in the store.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Vbd => "vbd",
            Self::Vif => "vif",
        }
    }
}

/// One device of one domain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeviceId {
    /// Whose.
    pub domain: DomId,
    /// What it is.
    pub kind: Kind,
    /// Its number among the domain's devices of that kind.
    pub devid: u32,
}

impl DeviceId {
    /// The directory of the front half.
    #[must_use]
    pub fn front(&self) -> String {
        format!("/local/domain/{}/device/{}/{}", self.domain, self.kind.word(), self.devid)
    }

    /// The directory of the back half.
    #[must_use]
    pub fn back(&self) -> String {
        format!("{}/{}", back_parent(self.kind, self.domain), self.devid)
    }
}

impl fmt::Display for DeviceId {
    /// As a person calls it: `disk xvda`, `vif 0`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.kind, Vdev::from_number(self.devid)) {
            (Kind::Vbd, Some(vdev)) => write!(f, "disk {vdev}"),
            (Kind::Vbd, None) => write!(f, "disk {}", self.devid),
            (Kind::Vif, _) => write!(f, "vif {}", self.devid),
        }
    }
}

/// The directory of the back halves of a domain's devices.
fn back_parent(kind: Kind, domain: DomId) -> String {
    format!("/local/domain/{}/backend/{}/{domain}", DomId::DOM0, kind.word())
}

/// What is to be attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Device<'a> {
    /// A disk.
    Disk(&'a DiskConfig),
    /// A network card, whose address is known by now.
    Vif(&'a VifConfig),
}

impl Device<'_> {
    /// Its identity in a domain.
    #[must_use]
    pub fn id(&self, domain: DomId) -> DeviceId {
        let (kind, devid) = match self {
            Self::Disk(disk) => (Kind::Vbd, disk.vdev.number()),
            Self::Vif(vif) => (Kind::Vif, vif.devid),
        };
        DeviceId { domain, kind, devid }
    }

    /// What it is made of, for complaints.
    #[must_use]
    pub fn subject(&self) -> String {
        match self {
            Self::Disk(disk) => disk.target.params(),
            Self::Vif(vif) => vif.mac.map_or_else(String::new, |mac| mac.to_string()),
        }
    }
}
