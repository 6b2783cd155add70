//! Following the store: from a device's nodes to a disk and back.
//!
//! The names of the nodes are those every back half knows. A disk is called as its number says, `xvda`.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU64, Ordering};

use hypercall_abi::Errno;
use pv_xenbus::State;
use pvkernel_core::blkfront::{disk_name, Features};
use pvkernel_core::device::block::SECTOR;
use pvkernel_core::sync::Lock;

use super::Blkfront;
use crate::thread::WaitQueue;
use crate::xenbus::{serve_fronts, Device, FrontDriver, Publication};

static DISKS: Lock<Vec<Arc<Blkfront>>> = Lock::new(Vec::new());
static CHANGED: WaitQueue = WaitQueue::new();
static CHANGES: AtomicU64 = AtomicU64::new(0);

/// Finds the disks of this domain, now and whenever one comes.
///
/// # Errors
/// `ENODEV` without a store, `ENOMEM`.
pub fn start() -> Result<(), Errno> {
    serve_fronts("vbd", State::Initialised, |device| {
        let number = device.own_number("virtual-device").unwrap_or_else(|_| device.id().into());
        let disk = Blkfront::new(&disk_name(number));
        DISKS.lock().push(Arc::clone(&disk));
        Box::new(Driver { disk })
    })
}

/// The disks there are, connected or not.
#[must_use]
pub fn disks() -> Vec<Arc<Blkfront>> {
    DISKS.lock().clone()
}

/// Waits until a disk of this name is connected.
#[must_use]
pub fn wait_for(name: &str, deadline_ns: u64) -> Option<Arc<Blkfront>> {
    let mut found = None;
    CHANGED.wait_deadline(deadline_ns, || {
        let disks = disks();
        found = disks.into_iter().find(|disk| disk.name() == name && disk.is_connected());
        found.is_some()
    });
    found
}

/// Waits until a disk came or went, or the time has come.
pub fn wait_for_change(deadline_ns: u64) {
    let before = CHANGES.load(Ordering::Relaxed);
    CHANGED.wait_deadline(deadline_ns, || CHANGES.load(Ordering::Relaxed) != before);
}

fn changed() {
    CHANGES.fetch_add(1, Ordering::Relaxed);
    CHANGED.wake_all();
}

struct Driver {
    disk: Arc<Blkfront>,
}

impl FrontDriver for Driver {
    fn publish(&mut self, device: &Device) -> Result<Publication, String> {
        let (gref, port) = self.disk.prepare(device.peer()).map_err(|errno| {
            format!("no ring for {}: {} ({})", self.disk.name(), errno.name(), errno.text())
        })?;
        let nodes = [
            ("ring-ref", gref.to_string()),
            ("event-channel", port.to_string()),
            ("protocol", String::from("x86_64-abi")),
            ("feature-persistent", String::from("1")),
        ];
        Ok(nodes.into_iter().map(|(key, value)| (String::from(key), value)).collect())
    }

    fn connect(&mut self, device: &Device) -> Result<(), String> {
        let number = |key: &str| device.other_number(key).unwrap_or(0);
        let sectors = device
            .other_number("sectors")
            .map_err(|errno| format!("the back half says no size: sectors: {}", errno.name()))?;
        let sector_size = device.other_number("sector-size").unwrap_or(SECTOR as u64);
        if sector_size != SECTOR as u64 {
            return Err(format!("sectors of {sector_size} bytes; only {SECTOR} are supported"));
        }
        self.disk.connect(Features {
            sectors,
            info: number("info") as u32,
            flush: number("feature-flush-cache") != 0,
            barrier: number("feature-barrier") != 0,
            discard: number("feature-discard") != 0,
            indirect: number("feature-max-indirect-segments").min(u64::from(u32::MAX)) as u32,
        });
        changed();
        Ok(())
    }

    fn disconnect(&mut self, _: &Device) {
        self.disk.disconnect();
        changed();
    }

    fn remove(&mut self, _: &Device) {
        DISKS.lock().retain(|disk| !Arc::ptr_eq(disk, &self.disk));
        self.disk.remove();
        changed();
    }
}
