//! The disks and network cards of the machine, for the control domain.
//!
//! Finds virtio devices on the PCI bus and makes them devices of the kernel: memory from pools of
//! their own, interrupts by their lines. A device that cannot be used is named with the reason; the
//! others are not affected.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;

use pvkernel_core::device::block::BlockDevice;
use pvkernel_core::device::net::NetDevice;
use pvkernel_virtio::disk::VirtioDisk;
use pvkernel_virtio::net::{self, VirtioNet};
use virtio_drivers::transport::pci::PciTransport;
use virtio_drivers::transport::DeviceType;

use crate::dma::{DmaQueue, Pool};
use crate::layout::PAGE;
use crate::{dma, pci, pirq};

/// Chunks of 256 KiB in the pool of a disk.
const DISK_CHUNKS: usize = 4;
/// Chunks of the pool of a card: one for each direction.
const CARD_CHUNKS: usize = 2;
/// Descriptors of a disk's queue: three for each request.
const DISK_QUEUE: usize = 256;

type Disk = VirtioDisk<PciTransport, DmaQueue<DISK_QUEUE>>;
type Card = VirtioNet<PciTransport, DmaQueue<{ net::BUFFERS }>>;

/// What was found.
#[derive(Default)]
pub struct Devices {
    /// Disks, by slot.
    pub disks: Vec<(String, Arc<dyn BlockDevice>)>,
    /// Network cards, by slot.
    pub cards: Vec<(String, Arc<dyn NetDevice>)>,
    /// Devices that cannot be used, each with the reason.
    pub unusable: Vec<String>,
}

/// Finds and starts all devices. The text beside each says where it is.
#[must_use]
pub fn probe() -> Devices {
    let mut devices = Devices::default();
    for found in pci::scan() {
        let place = place(&found);
        let started = match found.kind {
            DeviceType::Block => disk(&found).map(|disk| devices.disks.push((place.clone(), disk))),
            DeviceType::Network => {
                card(&found).map(|card| devices.cards.push((place.clone(), card)))
            }
            _ => Ok(()),
        };
        if let Err(why) = started {
            devices.unusable.push(format!("{place}: {why}"));
        }
    }
    devices
}

fn place(found: &pci::Found) -> String {
    let line = found.line.map_or("no line".to_string(), |line| format!("line {line}"));
    format!("pci {}, {line}", found.function)
}

fn disk(found: &pci::Found) -> Result<Arc<dyn BlockDevice>, String> {
    let transport = pci::open(found).map_err(|error| error.to_string())?;
    let pool = Pool::new(PAGE as usize, DISK_CHUNKS).map_err(|_| no_memory())?;
    let queue =
        |transport: &mut PciTransport| DmaQueue::new(transport, pvkernel_virtio::disk::QUEUE);
    let disk = Disk::new(transport, queue, Box::new(|bytes| pool.take(bytes)));
    let disk = Arc::new(disk.map_err(|error| error.to_string())?);
    let served = Arc::clone(&disk);
    connect(found, Arc::new(move || served.interrupt()))?;
    Ok(disk)
}

fn card(found: &pci::Found) -> Result<Arc<dyn NetDevice>, String> {
    let transport = pci::open(found).map_err(|error| error.to_string())?;
    let pool = Pool::new(net::BUFFER, CARD_CHUNKS).map_err(|_| no_memory())?;
    let card = Card::new(transport, DmaQueue::new, || pool.take(net::BUFFER));
    let card = Arc::new(card.map_err(|error| error.to_string())?);
    let served = Arc::clone(&card);
    connect(found, Arc::new(move || served.interrupt()))?;
    Ok(card)
}

fn connect(found: &pci::Found, handler: pirq::LineHandler) -> Result<(), String> {
    let line = found.line.ok_or("the firmware gave it no interrupt line")?;
    let bound = pirq::on_line(line, handler);
    bound.map_err(|errno| format!("interrupt line {line} cannot be had: {}", errno.name()))
}

fn no_memory() -> String {
    format!("no memory for its buffers; {}", dma::MORE_MEMORY)
}
