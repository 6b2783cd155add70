//! The devices of the machine, which dom0 owns: found once at start, looked up by name.
//!
//! Disks are called vda, vdb, ... in the order of their slots; of the network cards one leads out and
//! one is for management alone, told apart by their addresses. A machine without devices is no error.

use crate::terminal::Terminal;
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use pvkernel_core::device::block::BlockDevice;
use pvkernel_core::device::net::{Mac, NetDevice};
use pvkernel_core::sync::Lock;
use pvkernel_xen::boot::BootInfo;
use pvkernel_xen::{println, virtio};
use zl_toolstack::{Status, ToolError};

/// The address of the card at which dom0 is managed.
pub const MANAGEMENT_MAC: Mac = [0x52, 0x54, 0x00, 0x5a, 0x4c, 0x01];

/// Sectors of a MiB.
const SECTORS_PER_MIB: u64 = 2048;

/// A disk.
#[derive(Clone)]
pub struct Disk {
    /// Its name: vda, vdb, ...
    pub name: String,
    /// The disk.
    pub device: Arc<dyn BlockDevice>,
    place: String,
}

/// A network card.
#[derive(Clone)]
struct Card {
    device: Arc<dyn NetDevice>,
    place: String,
}

static DISKS: Lock<Vec<Disk>> = Lock::new(Vec::new());
static CARDS: Lock<Vec<Card>> = Lock::new(Vec::new());

/// Finds and starts the devices.
pub fn start(boot: &BootInfo) {
    if !boot.is_dom0 {
        return;
    }
    let found = virtio::probe();
    for why in found.unusable {
        println!("dom0: the device at {why}");
    }
    let named = ('a'..='z').zip(found.disks);
    let disk = |(letter, (place, device))| Disk { name: format!("vd{letter}"), device, place };
    *DISKS.lock() = named.map(disk).collect();
    *CARDS.lock() = found.cards.into_iter().map(|(place, device)| Card { device, place }).collect();
}

/// All disks.
pub fn disks() -> Vec<Disk> {
    DISKS.lock().clone()
}

/// The disk of this name.
pub fn disk(name: &str) -> Option<Arc<dyn BlockDevice>> {
    let disks = DISKS.lock();
    disks.iter().find(|disk| disk.name == name).map(|disk| Arc::clone(&disk.device))
}

/// The card that leads out.
pub fn uplink() -> Option<Arc<dyn NetDevice>> {
    card(|mac| mac != MANAGEMENT_MAC)
}

/// The card for management, which is joined to nothing.
pub fn management() -> Option<Arc<dyn NetDevice>> {
    card(|mac| mac == MANAGEMENT_MAC)
}

fn card(is_wanted: impl Fn(Mac) -> bool) -> Option<Arc<dyn NetDevice>> {
    let cards = CARDS.lock().clone();
    let found = cards.iter().find(|card| is_wanted(card.device.info().mac));
    found.map(|card| Arc::clone(&card.device))
}

/// The command `devices`.
pub fn list(terminal: &dyn Terminal) -> Result<Status, ToolError> {
    let mut text = String::new();
    for Disk { name, device, place } in disks() {
        let info = device.info();
        let size = info.sectors / SECTORS_PER_MIB;
        let access = if info.read_only { "read-only" } else { "writable" };
        let flush = if info.can_flush { ", flush" } else { "" };
        let discard = if info.can_discard { ", discard" } else { "" };
        text.push_str(&format!("{name:<6} disk, {size} MiB, {access}{flush}{discard}; {place}\n"));
    }
    let cards = CARDS.lock().clone();
    for (number, Card { device, place }) in cards.iter().enumerate() {
        let info = device.info();
        let role = if info.mac == MANAGEMENT_MAC { "management" } else { "uplink" };
        let link = if info.is_up { "up" } else { "down" };
        let mac = mac_text(info.mac);
        let mtu = info.mtu;
        text.push_str(&format!("net{number:<3} {mac}, {role}, link {link}, mtu {mtu}; {place}\n"));
    }
    if text.is_empty() {
        text.push_str("no devices\n");
    }
    terminal.print(&text);
    Ok(Status::Ok)
}

fn mac_text(mac: Mac) -> String {
    let parts: Vec<String> = mac.iter().map(|byte| format!("{byte:02x}")).collect();
    parts.join(":")
}
