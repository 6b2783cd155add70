//! The handshake with a device: status, features, and the queues in between.

use virtio_drivers::transport::{DeviceStatus, Transport};

/// The device follows version 1 of the standard; demanded, because older ones lay out memory otherwise.
pub const VERSION_1: u64 = 1 << 32;

/// Why a device cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SetupError {
    /// It is older than version 1 of the standard.
    TooOld,
    /// It does not accept a subset of what it offers.
    Features,
    /// It does not have the queues or the registers it must have.
    Registers,
    /// There is no memory for it.
    NoMemory,
}

impl core::fmt::Display for SetupError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::TooOld => "it does not offer VIRTIO_F_VERSION_1; want disable-legacy=on",
            Self::Features => "it does not accept the features chosen from those it offers",
            Self::Registers => "a queue or a register is missing",
            Self::NoMemory => "no memory for its queues; give dom0 more with dom0_mem=",
        })
    }
}

/// Resets a device and agrees on features: all it has of `wanted`. Then come the queues.
///
/// # Errors
/// `TooOld`, `Features`.
pub fn begin<T: Transport>(transport: &mut T, wanted: u64) -> Result<u64, SetupError> {
    let known = DeviceStatus::ACKNOWLEDGE | DeviceStatus::DRIVER;
    transport.set_status(DeviceStatus::empty());
    transport.set_status(known);
    let offered = transport.read_device_features();
    if offered & VERSION_1 == 0 {
        return fail(transport, SetupError::TooOld);
    }
    let features = offered & (wanted | VERSION_1);
    transport.write_driver_features(features);
    transport.set_status(known | DeviceStatus::FEATURES_OK);
    if !transport.get_status().contains(DeviceStatus::FEATURES_OK) {
        return fail(transport, SetupError::Features);
    }
    Ok(features)
}

/// Lets the device work.
pub fn finish<T: Transport>(transport: &mut T) {
    let status = transport.get_status();
    transport.set_status(status | DeviceStatus::DRIVER_OK);
}

fn fail<T: Transport>(transport: &mut T, error: SetupError) -> Result<u64, SetupError> {
    transport.set_status(DeviceStatus::FAILED);
    Err(error)
}
