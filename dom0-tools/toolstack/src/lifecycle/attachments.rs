//! Devices of domains: given at the start, attached, detached, listed.
//!
//! What the configuration of a domain says about its devices follows what is attached, so that a
//! restart gives it the same ones.
//!
//! Invariants: a MAC address is used once on this machine; what one domain may write is nobody else's
//! disk.

use super::records::Record;
use super::waits::{WaitId, What};
use super::Toolstack;
use crate::client::Hypervisor;
use crate::config::mac::Mac;
use crate::config::{Backing, DiskConfig, DomainConfig, Uuid, Vdev, VifConfig};
use crate::devices::{self, Device, DeviceId, DiskRow, Kind, VifRow};
use crate::error::ToolError;
use alloc::format;
use alloc::vec::Vec;
use hypercall_abi::DomId;

impl<H: Hypervisor> Record<H> {
    /// The devices of the domain.
    pub(super) fn device_ids(&self) -> Vec<DeviceId> {
        all(&self.config).iter().map(|device| device.id(self.domain)).collect()
    }

    /// Forgets a device that was removed.
    pub(super) fn forget_device(&mut self, id: &DeviceId) {
        match id.kind {
            Kind::Vbd => self.config.disks.retain(|disk| disk.vdev.number() != id.devid),
            Kind::Vif => self.config.vifs.retain(|vif| vif.devid != id.devid),
        }
        self.leaving.retain(|other| other != id);
    }
}

/// All devices of a configuration.
pub(super) fn all(config: &DomainConfig) -> Vec<Device<'_>> {
    config.disks.iter().map(Device::Disk).chain(config.vifs.iter().map(Device::Vif)).collect()
}

impl<H: Hypervisor + Clone> Toolstack<'_, H> {
    /// Attaches a disk to a domain; the wait ends when its back half is ready.
    ///
    /// # Errors
    /// The domain cannot have it, or somebody uses it.
    pub fn attach_disk(&mut self, domain: DomId, disk: DiskConfig) -> Result<WaitId, ToolError> {
        let record = self.changeable(domain)?;
        if record.config.disks.iter().any(|other| other.vdev == disk.vdev) {
            let what = format!("domain {domain} has a disk {} already", disk.vdev);
            return Err(ToolError::failed(what + "; use another name, or see 'zl block-list'"));
        }
        self.check_disk_is_free(&disk)?;
        let device = Device::Disk(&disk);
        devices::attach(self.store, domain, &[device])?;
        let id = device.id(domain);
        if let Some(record) = self.record_mut(domain) {
            record.config.disks.push(disk);
        }
        Ok(self.wait_for(What::Attach(id), true))
    }

    /// Attaches a network card to a domain; the wait ends when its back half is ready.
    ///
    /// # Errors
    /// The domain cannot have it, or somebody uses its address.
    pub fn attach_vif(&mut self, domain: DomId, vif: VifConfig) -> Result<WaitId, ToolError> {
        let record = self.changeable(domain)?;
        let used = |devid: u32| record.config.vifs.iter().any(|other| other.devid == devid);
        let devid = (0..u32::MAX).find(|devid| !used(*devid)).unwrap_or(u32::MAX);
        let uuid = record.uuid;
        let mut vif = VifConfig { devid, ..vif };
        self.settle_mac(uuid, &mut vif, &[])?;
        let device = Device::Vif(&vif);
        devices::attach(self.store, domain, &[device])?;
        let id = device.id(domain);
        if let Some(record) = self.record_mut(domain) {
            record.config.vifs.push(vif);
        }
        Ok(self.wait_for(What::Attach(id), true))
    }

    /// Detaches a device; the wait ends when it is gone. With `force` it goes at once, whatever the
    /// guest does with it.
    ///
    /// # Errors
    /// There is no such device.
    pub fn detach_device(
        &mut self,
        id: DeviceId,
        force: bool,
    ) -> Result<Option<WaitId>, ToolError> {
        self.changeable(id.domain)?;
        devices::begin_detach(self.store, &id)?;
        if force {
            self.drop_device(&id);
            return Ok(None);
        }
        if let Some(record) = self.record_mut(id.domain) {
            if !record.leaving.contains(&id) {
                record.leaving.push(id);
            }
        }
        Ok(Some(self.wait_for(What::Detach(id), true)))
    }

    /// The disk a person means: its name in the domain, or its number.
    ///
    /// # Errors
    /// The domain has no such disk.
    pub fn find_disk(&self, domain: DomId, who: &str) -> Result<DeviceId, ToolError> {
        let devid = match who.parse::<u32>() {
            Ok(number) => number,
            Err(_) => Vdev::parse(who)
                .map_err(|(what, advice)| ToolError::failed(format!("{what}; {advice}")))?
                .number(),
        };
        let id = DeviceId { domain, kind: Kind::Vbd, devid };
        self.is_attached(id, "block-list")
    }

    /// The network card a person means: its number in the domain, or its address.
    ///
    /// # Errors
    /// The domain has no such card.
    pub fn find_vif(&self, domain: DomId, who: &str) -> Result<DeviceId, ToolError> {
        let devid = match who.parse::<u32>() {
            Ok(number) => number,
            Err(_) => {
                let mac = Mac::parse(who).map_err(|(what, _)| {
                    let advice = "give the number of the card or its address";
                    ToolError::failed(format!("{what}; {advice}"))
                })?;
                let vifs = self.config_of(domain).map_or(&[][..], |config| &config.vifs);
                let found = vifs.iter().find(|vif| vif.mac == Some(mac));
                found.map(|vif| vif.devid).ok_or_else(|| {
                    let what = format!("domain {domain} has no card with the address {mac}");
                    ToolError::failed(format!("{what}; see 'zl network-list {domain}'"))
                })?
            }
        };
        let id = DeviceId { domain, kind: Kind::Vif, devid };
        self.is_attached(id, "network-list")
    }

    fn is_attached(&self, id: DeviceId, verb: &str) -> Result<DeviceId, ToolError> {
        let domain = id.domain;
        match devices::attached(self.store, domain, id.kind).contains(&id) {
            true => Ok(id),
            false => {
                let text = format!("domain {domain} has no {id}; see 'zl {verb} {domain}'");
                Err(ToolError::failed(text))
            }
        }
    }

    /// The disks of a domain.
    #[must_use]
    pub fn disks(&self, domain: DomId) -> Vec<DiskRow> {
        let ids = devices::attached(self.store, domain, Kind::Vbd);
        ids.iter().map(|id| devices::disk_row(self.store, id)).collect()
    }

    /// The network cards of a domain.
    #[must_use]
    pub fn vifs(&self, domain: DomId) -> Vec<VifRow> {
        let ids = devices::attached(self.store, domain, Kind::Vif);
        ids.iter().map(|id| devices::vif_row(self.store, id)).collect()
    }

    /// The record of a domain whose devices may be changed now.
    fn changeable(&self, domain: DomId) -> Result<&Record<H>, ToolError> {
        let refused = |what: &str| Err(ToolError::refused(format!("domain {domain} {what}")));
        match self.record(domain) {
            None => refused("was not created here; see 'zl list'"),
            Some(record) if record.has_ended => refused("has ended and is kept for inspection"),
            Some(_) if self.is_starting(domain) => refused("waits for its devices; try again soon"),
            Some(record) => Ok(record),
        }
    }

    /// Checks the devices of a new domain and gives addresses to cards without one.
    pub(super) fn settle_devices(
        &self,
        uuid: Uuid,
        config: &mut DomainConfig,
    ) -> Result<(), ToolError> {
        for (index, disk) in config.disks.iter().enumerate() {
            self.check_disk_is_free(disk)?;
            let earlier = config.disks.get(..index).unwrap_or_default();
            if let Some(other) = earlier.iter().find(|other| conflict(other, disk)) {
                let what =
                    format!("disk {}: {} is disk {}, too", disk.vdev, disk.target, other.vdev);
                return Err(ToolError::failed(what + "; give it once, or read-only both times"));
            }
        }
        // Those with addresses first: one that is made must not be one that stands further on.
        let given = config.vifs.clone();
        for index in 0..config.vifs.len() {
            let (earlier, rest) = config.vifs.split_at_mut(index);
            if let Some(vif) = rest.first_mut() {
                let others: Vec<VifConfig> = earlier.iter().chain(&given).cloned().collect();
                self.settle_mac(uuid, vif, &others)?;
            }
        }
        Ok(())
    }

    fn check_disk_is_free(&self, disk: &DiskConfig) -> Result<(), ToolError> {
        for record in &self.records {
            if let Some(other) = record.config.disks.iter().find(|other| conflict(other, disk)) {
                return Err(ToolError::failed(format!(
                    "disk {}: {} is disk {} of domain {} ({}); detach it there, or use it read-only on \
                     both sides",
                    disk.vdev, disk.target, other.vdev, record.domain, record.config.name
                )));
            }
        }
        Ok(())
    }

    /// Gives a card an address, or checks the one it has.
    fn settle_mac(
        &self,
        uuid: Uuid,
        vif: &mut VifConfig,
        others: &[VifConfig],
    ) -> Result<(), ToolError> {
        let user = |mac: Mac| {
            let has = |vif: &VifConfig| vif.mac == Some(mac);
            self.records.iter().find(|record| record.config.vifs.iter().any(has))
        };
        if let Some(mac) = vif.mac {
            return match user(mac) {
                None => Ok(()),
                Some(record) => Err(ToolError::failed(format!(
                    "vif {}: the address {mac} is used by domain {} ({}); leave mac out to get another",
                    vif.devid, record.domain, record.config.name
                ))),
            };
        }
        let is_free =
            |mac: &Mac| user(*mac).is_none() && !others.iter().any(|other| other.mac == Some(*mac));
        let mut tries = (0..u32::MAX).map(|attempt| Mac::from_uuid(uuid, vif.devid, attempt));
        vif.mac = tries.find(is_free);
        Ok(())
    }
}

/// Whether two disks are the same bytes and one of them is written.
fn conflict(one: &DiskConfig, other: &DiskConfig) -> bool {
    let is_shared = !matches!(one.target, Backing::Ram { name: None, .. });
    let is_same = match (&one.target, &other.target) {
        // Another size does not make it another disk.
        (Backing::Ram { name: one, .. }, Backing::Ram { name: other, .. }) => one == other,
        (one, other) => one.kind() == other.kind() && one.params() == other.params(),
    };
    is_shared && is_same && !(one.read_only && other.read_only)
}
