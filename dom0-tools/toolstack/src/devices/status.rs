//! What has become of a device: its two states, its ring, its error.
//!
//! Read for the lists, and to find out whether a back half is ready or has given up. Values of the
//! front half are a guest's: numbers are read as numbers, and what is none shows as absent.

use super::DeviceId;
use crate::config::shown;
use alloc::format;
use alloc::string::String;
use hypercall_abi::io::xenbus::{STATE_CLOSED, STATE_CLOSING, STATE_CONNECTED, STATE_INIT_WAIT};
use hypercall_abi::DomId;
use pv_xenbus::{Store, Tx};
use serde::Serialize;

/// How far the back half of a device is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    /// It has not looked yet, or is at work.
    Waiting,
    /// It waits for the front half, or serves it.
    Ready,
    /// It gave up; why, in one line.
    Failed(String),
    /// It let go of the device.
    Closed,
    /// There is no such device.
    Gone,
}

/// How far the back half of a device is.
#[must_use]
pub fn progress(store: &dyn Store, id: &DeviceId) -> Progress {
    let back = id.back();
    if let Some(error) = error_of(store, &back) {
        return Progress::Failed(error);
    }
    let Ok(state) = store.number(Tx::NONE, &format!("{back}/state")) else {
        return Progress::Gone;
    };
    let connected = store.text(Tx::NONE, &format!("{back}/hotplug-status"));
    match u32::try_from(state) {
        Ok(STATE_INIT_WAIT..=STATE_CONNECTED) => Progress::Ready,
        Ok(STATE_CLOSED) => Progress::Closed,
        Ok(STATE_CLOSING) => Progress::Waiting,
        _ if connected.is_ok_and(|status| status == "connected") => Progress::Ready,
        _ => Progress::Waiting,
    }
}

/// Whether the back half let go of a device, or is not there at all.
#[must_use]
pub fn is_closed(store: &dyn Store, id: &DeviceId) -> bool {
    match store.number(Tx::NONE, &format!("{}/state", id.back())) {
        Ok(state) => state == u64::from(STATE_CLOSED),
        Err(_) => true,
    }
}

/// What the back half complains about, from the places in which Xen's drivers and scripts do.
fn error_of(store: &dyn Store, back: &str) -> Option<String> {
    let relative = back.strip_prefix("/local/domain/0/").unwrap_or(back);
    let status = store.text(Tx::NONE, &format!("{back}/hotplug-status"));
    let places = [
        format!("{back}/error"),
        format!("{back}/hotplug-error"),
        format!("/local/domain/0/error/{relative}/error"),
    ];
    let texts = places.iter().filter_map(|place| store.text(Tx::NONE, place).ok());
    let found = texts.map(|text| one_line(&text)).find(|text| !text.is_empty());
    match (found, status.as_deref()) {
        (Some(text), _) => Some(text),
        (None, Ok("error")) => Some(String::from("the back end failed and does not say why")),
        _ => None,
    }
}

/// The first line, without an error number in front, as drivers write it there.
fn one_line(text: &str) -> String {
    let line = text.lines().next().unwrap_or("").trim();
    let without = line.split_once(' ').filter(|(number, _)| number.parse::<i32>().is_ok());
    let line = without.map_or(line, |(_, rest)| rest);
    line.chars().filter(|character| !character.is_control()).collect()
}

/// What both halves of every device say.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Halves {
    /// Domain of the back half.
    pub backend_id: u16,
    /// The number of the device.
    pub handle: u32,
    /// The state the front half announces.
    pub state: Option<u32>,
    /// The state the back half announces.
    pub backend_state: Option<u32>,
    /// The port of the guest.
    pub evtch: Option<u32>,
    /// The directory of the back half.
    pub backend_path: String,
}

/// One line of `block-list`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DiskRow {
    /// The number of the disk.
    pub vdev: u32,
    /// Its name, as the tools gave it.
    pub name: String,
    /// What holds its bytes.
    pub target: String,
    /// `r` or `w`.
    pub mode: String,
    /// What both halves say.
    #[serde(flatten)]
    pub halves: Halves,
    /// The grant of its ring.
    pub ring_ref: Option<u32>,
}

/// One line of `network-list`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct VifRow {
    /// The number of the card.
    pub idx: u32,
    /// Its address.
    pub mac: String,
    /// What both halves say.
    #[serde(flatten)]
    pub halves: Halves,
    /// The grant of the ring of what it sends.
    pub tx_ring_ref: Option<u32>,
    /// The grant of the ring of what it receives.
    pub rx_ring_ref: Option<u32>,
}

/// A number that somebody wrote, if it is one.
fn number(store: &dyn Store, directory: &str, name: &str) -> Option<u32> {
    let number = store.number(Tx::NONE, &format!("{directory}/{name}")).ok()?;
    u32::try_from(number).ok()
}

fn text(store: &dyn Store, directory: &str, name: &str) -> String {
    let text = store.text(Tx::NONE, &format!("{directory}/{name}"));
    text.map_or_else(|_| String::new(), |text| shown(&text))
}

fn halves(store: &dyn Store, id: &DeviceId) -> Halves {
    let (front, back) = (id.front(), id.back());
    // Cards may have a port for each direction.
    let evtch =
        number(store, &front, "event-channel").or(number(store, &front, "event-channel-tx"));
    Halves {
        backend_id: DomId::DOM0.get(),
        handle: id.devid,
        state: number(store, &front, "state"),
        backend_state: number(store, &back, "state"),
        evtch,
        backend_path: back,
    }
}

/// What is known about a disk.
#[must_use]
pub fn disk_row(store: &dyn Store, id: &DeviceId) -> DiskRow {
    let (front, back) = (id.front(), id.back());
    DiskRow {
        vdev: id.devid,
        name: text(store, &back, "dev"),
        target: format!("{}:{}", text(store, &back, "type"), text(store, &back, "params")),
        mode: text(store, &back, "mode"),
        halves: halves(store, id),
        ring_ref: number(store, &front, "ring-ref").or(number(store, &front, "ring-ref0")),
    }
}

/// What is known about a network card.
#[must_use]
pub fn vif_row(store: &dyn Store, id: &DeviceId) -> VifRow {
    let front = id.front();
    VifRow {
        idx: id.devid,
        mac: text(store, &id.back(), "mac"),
        halves: halves(store, id),
        tx_ring_ref: number(store, &front, "tx-ring-ref"),
        rx_ring_ref: number(store, &front, "rx-ring-ref"),
    }
}
