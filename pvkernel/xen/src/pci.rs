//! The PCI bus, as the control domain sees it.
//!
//! Configuration space is reached by the two registers at 0xcf8, which the hypervisor keeps for each
//! access together. The firmware has assigned addresses and lines; here they are only read, and a
//! device that is opened may master the bus.

use alloc::vec::Vec;

use virtio_drivers::transport::pci::bus::{Command, ConfigurationAccess, DeviceFunction, PciRoot};
use virtio_drivers::transport::pci::{virtio_device_type, PciTransport, VirtioPciError};
use virtio_drivers::transport::DeviceType;

use crate::dma::DmaHal;
use crate::ports;

const ADDRESS: u16 = 0xcf8;
const DATA: u16 = 0xcfc;
const ENABLE: u32 = 1 << 31;
/// The register that holds the interrupt line, and the pin above it.
const INTERRUPT: u8 = 0x3c;
/// Lines that mean "none".
const NO_LINES: [u32; 2] = [0, 255];

/// Configuration space of all functions.
pub struct ConfigSpace(());

fn address(function: DeviceFunction, register: u8) -> u32 {
    let DeviceFunction { bus, device, function } = function;
    let place = u32::from(bus) << 16 | u32::from(device) << 11 | u32::from(function) << 8;
    ENABLE | place | u32::from(register & 0xfc)
}

impl ConfigurationAccess for ConfigSpace {
    fn read_word(&self, function: DeviceFunction, register: u8) -> u32 {
        // SAFETY: the register selects what the next access is about; threads do not change between.
        unsafe { ports::write_u32(ADDRESS, address(function, register)) };
        // SAFETY: reading configuration space has no effect.
        unsafe { ports::read_u32(DATA) }
    }

    fn write_word(&mut self, function: DeviceFunction, register: u8, data: u32) {
        // SAFETY: as in `read_word`.
        unsafe { ports::write_u32(ADDRESS, address(function, register)) };
        // SAFETY: `scan` gives the only users of this type, who set up a device of this domain; while
        // it is not set up it reaches no memory.
        unsafe { ports::write_u32(DATA, data) };
    }

    unsafe fn unsafe_clone(&self) -> Self {
        Self(())
    }
}

/// A virtio device that was found.
#[derive(Clone, Copy, Debug)]
pub struct Found {
    /// Where.
    pub function: DeviceFunction,
    /// What.
    pub kind: DeviceType,
    /// Its interrupt line, if it has one.
    pub line: Option<u32>,
}

/// The virtio devices of the first bus, by slot.
#[must_use]
pub fn scan() -> Vec<Found> {
    let root = PciRoot::new(ConfigSpace(()));
    let virtio = |(function, info)| Some((function, virtio_device_type(&info)?));
    root.enumerate_bus(0)
        .filter_map(virtio)
        .map(|(function, kind)| Found { function, kind, line: line(function) })
        .collect()
}

fn line(function: DeviceFunction) -> Option<u32> {
    let line = ConfigSpace(()).read_word(function, INTERRUPT) & 0xff;
    (!NO_LINES.contains(&line)).then_some(line)
}

/// Lets a device answer and master the bus, and maps its registers.
///
/// # Errors
/// What the device lacks.
pub fn open(found: &Found) -> Result<PciTransport, VirtioPciError> {
    let mut root = PciRoot::new(ConfigSpace(()));
    let (_, command) = root.get_status_command(found.function);
    let command = command.union(Command::MEMORY_SPACE | Command::BUS_MASTER);
    root.set_command(found.function, command.difference(Command::INTERRUPT_DISABLE));
    PciTransport::new::<DmaHal, _>(&mut root, found.function)
}
