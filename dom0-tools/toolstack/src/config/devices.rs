//! Gets the devices of a domain out of settings.
//!
//! Used by `domain`. A description that is wrong is complained about where it stands in the file; what
//! may be there only once (a disk's name, an address) is compared within the configuration here and
//! with other domains when the domain is created.

use super::disk::{DiskConfig, Wrong};
use super::parse::COMMAND_LINE;
use super::reader::Reader;
use super::value::{ConfigError, Position, ValueKind};
use super::vif::VifConfig;
use alloc::format;
use alloc::vec::Vec;

/// Most devices of one kind.
const MOST_DEVICES: usize = 64;

/// The words of one list, with the place of each.
struct Specs<'a> {
    origin: &'a str,
    key: &'static str,
    items: Vec<(Position, &'a str)>,
}

impl Specs<'_> {
    fn complaint(&self, at: Position, (what, advice): Wrong) -> ConfigError {
        ConfigError {
            origin: self.origin.into(),
            at: (self.origin != COMMAND_LINE).then_some(at),
            what: format!("{}: {what}", self.key),
            advice: advice.into(),
        }
    }
}

impl<'a> Reader<'a> {
    /// The disks.
    pub(super) fn disks(&self) -> Result<Vec<DiskConfig>, ConfigError> {
        let specs = self.specs("disk", "disk = ['file:/images/a.img,xvda,w']")?;
        let mut disks: Vec<DiskConfig> = Vec::new();
        for (at, spec) in &specs.items {
            let disk = DiskConfig::parse(spec).map_err(|wrong| specs.complaint(*at, wrong))?;
            if disks.iter().any(|other| other.vdev == disk.vdev) {
                let what = format!("'{}' is used twice", disk.vdev);
                return Err(specs.complaint(*at, (what, "give each disk a name of its own")));
            }
            disks.push(disk);
        }
        Ok(disks)
    }

    /// The network cards.
    pub(super) fn vifs(&mut self) -> Result<Vec<VifConfig>, ConfigError> {
        let specs = self.specs("vif", "vif = ['bridge=xenbr0']")?;
        let mut vifs: Vec<VifConfig> = Vec::new();
        for (at, spec) in &specs.items {
            let mut warnings = Vec::new();
            let read = VifConfig::parse(spec, &mut warnings);
            let vif = read.map_err(|wrong| specs.complaint(*at, wrong))?;
            if let Some(mac) =
                vif.mac.filter(|mac| vifs.iter().any(|other| other.mac == Some(*mac)))
            {
                let what = format!("the address {mac} is used twice");
                return Err(specs.complaint(*at, (what, "give each card an address of its own")));
            }
            for warning in warnings {
                let place = match specs.origin {
                    COMMAND_LINE => COMMAND_LINE.into(),
                    origin => format!("{origin}:{}", at.line),
                };
                self.warnings.push(format!("{place}: vif: {warning}; ignored"));
            }
            vifs.push(VifConfig { devid: vifs.len() as u32, ..vif });
        }
        Ok(vifs)
    }

    fn specs(&self, key: &'static str, example: &'static str) -> Result<Specs<'a>, ConfigError> {
        let mut specs = Specs { origin: COMMAND_LINE, key, items: Vec::new() };
        let Some((origin, value)) = self.value_of(key) else { return Ok(specs) };
        specs.origin = origin;
        let items = match &value.kind {
            ValueKind::List(items) => items,
            // As with `xl`, an empty text is an empty list.
            ValueKind::Text(text) if text.is_empty() => return Ok(specs),
            other => {
                let what = format!("expected a list of strings, found {}", other.describe());
                return Err(specs.complaint(value.at, (what, example)).advised("write "));
            }
        };
        if items.len() > MOST_DEVICES {
            let what = format!("{} devices", items.len());
            return Err(specs.complaint(value.at, (what, "use at most 64")));
        }
        for item in items {
            let ValueKind::Text(text) = &item.kind else {
                let what = format!("expected a string, found {}", item.kind.describe());
                return Err(specs.complaint(item.at, (what, example)).advised("write "));
            };
            specs.items.push((item.at, text));
        }
        Ok(specs)
    }
}

impl ConfigError {
    /// The same with a word in front of the advice.
    fn advised(mut self, lead: &str) -> Self {
        self.advice.insert_str(0, lead);
        self
    }
}
