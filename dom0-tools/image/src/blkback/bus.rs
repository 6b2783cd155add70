//! Following the store: from a device's nodes to a front half that is served.
//!
//! One driver for each device below `backend/vbd`. It opens what `type` and `params` name, says what the
//! disk can, and connects whatever the front half published. All of its nodes can be anything.

use super::backing::{self, Lease};
use super::device::{Device as Served, Offer};
use super::{attach, detach, DeviceId};
use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use core::convert::Infallible;
use hypercall_abi::io::block::{MAX_SEGMENTS_PER_REQUEST, VDISK_READONLY};
use hypercall_abi::{Errno, EvtchnPort, GrantRef};
use pv_xenbus::{Store, Tx};
use pvkernel_core::device::block::{BlockInfo, SECTOR};
use pvkernel_core::sync::Lock;
use pvkernel_xen::xenbus::{BackBus, BackDriver, Device};
use zl_backends::blk::{source, MAX_INDIRECT_SEGMENTS, SECTORS_PER_FRAME};

/// Begins anew.
type Restart = Arc<dyn Fn() + Send + Sync>;

static RESTART: Lock<Option<Restart>> = Lock::new(None);

/// Serves the disks the store names, for ever.
///
/// # Errors
/// When the store cannot be watched.
pub fn run(store: &'static dyn Store) -> Result<Infallible, Errno> {
    let bus = BackBus::new(store, "vbd", |device| Box::new(Vbd::new(device)));
    *RESTART.lock() = Some(Arc::new(bus.restarter()));
    bus.run()
}

/// All back halves go without a word and come again.
///
/// # Errors
/// One line.
pub fn restart() -> Result<(), String> {
    let restart = RESTART.lock().clone();
    restart.ok_or("no store, so there are no back halves")?();
    Ok(())
}

struct Vbd {
    lease: Option<Arc<Lease>>,
    served: Option<DeviceId>,
    store: &'static dyn Store,
    /// A node that is there as long as the device is.
    mark: String,
    owner: String,
}

impl Vbd {
    fn new(device: &Device) -> Self {
        let mark = format!("{}/frontend", device.path());
        let owner = format!("{}/{}", device.peer(), device.id());
        Self { lease: None, served: None, store: device.store(), mark, owner }
    }
}

impl Drop for Vbd {
    fn drop(&mut self) {
        // A disk that only its user knows stays as long as its user's nodes.
        if self.store.read(Tx::NONE, &self.mark).is_err() {
            backing::forget_ram(&self.owner);
        }
    }
}

impl BackDriver for Vbd {
    fn open(&mut self, device: &Device) -> Result<(), String> {
        let text = |key: &str| {
            device
                .own_text(key)
                .map_err(|errno| format!("{key}: {} ({})", errno.name(), errno.text()))
        };
        let source = source::parse(&text("type")?, &text("params")?)?;
        let lease = Lease::open(&source, &self.owner, is_writable(device))?;
        publish_features(device, &lease.backing().info())?;
        self.lease = Some(Arc::new(lease));
        Ok(())
    }

    fn connect(&mut self, device: &Device) -> Result<(), String> {
        let lease = self.lease.clone().ok_or("the disk is not open")?;
        let offer = offer_of(device)?;
        let info = lease.backing().info();
        let served = Served::connect(&offer, lease)?;
        publish_size(device, &info)?;
        self.served = Some(attach(served));
        Ok(())
    }

    fn disconnect(&mut self, _: &Device) {
        if let Some(served) = self.served.take() {
            detach(served);
        }
    }

    fn close(&mut self, _: &Device) {
        if let Some(lease) = self.lease.take() {
            lease.end();
        }
    }
}

fn is_writable(device: &Device) -> bool {
    device.own_text("mode").is_ok_and(|mode| mode.starts_with('w'))
}

/// The nodes a front half reads before it makes its ring.
fn publish_features(device: &Device, info: &BlockInfo) -> Result<(), String> {
    let flag = |is_on: bool| String::from(if is_on { "1" } else { "0" });
    let wants_discard = device.own_number("discard-enable").unwrap_or(1) != 0;
    let discards = info.can_discard && wants_discard && is_writable(device);
    let segments = (info.max_sectors / u32::from(SECTORS_PER_FRAME)) as usize;
    if segments < MAX_SEGMENTS_PER_REQUEST {
        return Err(String::from("the disk takes only requests smaller than a front half's"));
    }
    let indirect = segments.min(MAX_INDIRECT_SEGMENTS).to_string();
    let nodes = [
        ("feature-flush-cache", flag(info.can_flush)),
        ("feature-barrier", flag(info.can_flush)),
        ("feature-persistent", flag(true)),
        ("feature-max-indirect-segments", indirect),
        ("feature-discard", flag(discards)),
        ("discard-granularity", SECTOR.to_string()),
        ("discard-alignment", String::from("0")),
        ("discard-secure", flag(false)),
        ("hotplug-status", String::from("connected")),
    ];
    write(device, &nodes)
}

/// The nodes a front half reads when it is connected.
fn publish_size(device: &Device, info: &BlockInfo) -> Result<(), String> {
    let read_only = info.read_only || !is_writable(device);
    let nodes = [
        ("sectors", info.sectors.to_string()),
        ("sector-size", SECTOR.to_string()),
        ("physical-sector-size", SECTOR.to_string()),
        ("info", if read_only { VDISK_READONLY } else { 0 }.to_string()),
    ];
    write(device, &nodes)
}

fn write(device: &Device, nodes: &[(&str, String)]) -> Result<(), String> {
    let nodes: alloc::vec::Vec<(&str, &str)> =
        nodes.iter().map(|(key, value)| (*key, value.as_str())).collect();
    device.write_all(&nodes).map_err(|errno| {
        format!("its nodes cannot be written: {} ({})", errno.name(), errno.text())
    })
}

/// What the front half published.
fn offer_of(device: &Device) -> Result<Offer, String> {
    let number = |key: &str| {
        let number = device.other_number(key).ok().and_then(|number| u32::try_from(number).ok());
        number.ok_or_else(|| format!("the front half's {key} is missing or no number"))
    };
    if device.other_number("ring-page-order").is_ok_and(|order| order != 0) {
        return Err(String::from("the front half wants a ring of several pages; one is offered"));
    }
    let protocol = device.other_text("protocol").unwrap_or_else(|_| String::from("x86_64-abi"));
    if protocol != "x86_64-abi" {
        return Err(String::from("the front half's protocol is not x86_64-abi"));
    }
    Ok(Offer {
        peer: device.peer(),
        devid: device.id(),
        ring: GrantRef::new(number("ring-ref")?),
        port: EvtchnPort::new(number("event-channel")?),
        is_persistent: device.other_has("feature-persistent"),
        read_only: !is_writable(device),
    })
}
