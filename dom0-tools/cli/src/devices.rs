//! The verbs for devices: what their words mean.
//!
//! Called by `command` for the verbs `block-*` and `network-*`; `run` carries them out. Descriptions are
//! those of configurations; as with `xl` their parts may be one word or several.

use crate::args::{wrong, Args};
use crate::command::Output;
use crate::verbs::Verb;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use zl_toolstack::config::{DiskConfig, VifConfig};
use zl_toolstack::devices::Kind;
use zl_toolstack::ToolError;

/// What is to be done with devices.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DeviceCommand {
    /// Attach a disk.
    AttachDisk {
        /// To which domain.
        who: String,
        /// Which.
        disk: DiskConfig,
    },
    /// Attach a network card.
    AttachVif {
        /// To which domain.
        who: String,
        /// Which.
        vif: VifConfig,
        /// What a person should know about its description.
        warnings: Vec<String>,
    },
    /// Detach a device.
    Detach {
        /// From which domain.
        who: String,
        /// What it is.
        kind: Kind,
        /// Which.
        device: String,
        /// At once, whatever the guest does with it.
        force: bool,
    },
    /// List devices.
    List {
        /// Of which domains.
        who: Vec<String>,
        /// What kind.
        kind: Kind,
        /// How.
        output: Output,
    },
}

impl DeviceCommand {
    /// Reads the words of a verb for devices; `None` for another verb.
    ///
    /// # Errors
    /// A description that makes no sense.
    pub fn of(
        verb: &'static Verb,
        args: &Args,
        words: &[String],
        output: Output,
    ) -> Result<Option<Self>, ToolError> {
        let (kind, what) = match verb.name.split_once('-') {
            Some(("block", what)) => (Kind::Vbd, what),
            Some(("network", what)) => (Kind::Vif, what),
            _ => return Ok(None),
        };
        let (first, rest) = words
            .split_first()
            .map_or((String::new(), &[][..]), |(first, rest)| (first.clone(), rest));
        let device = rest.first().cloned().unwrap_or_default();
        let complaint = |(text, advice): (String, &str)| wrong(verb, &format!("{text}; {advice}"));
        Ok(Some(match (what, kind) {
            ("attach", Kind::Vbd) => {
                let disk = DiskConfig::parse(&rest.join(",")).map_err(complaint)?;
                Self::AttachDisk { who: first, disk }
            }
            ("attach", Kind::Vif) => {
                let mut warnings = Vec::new();
                let vif = VifConfig::parse(&rest.join(","), &mut warnings).map_err(complaint)?;
                Self::AttachVif { who: first, vif, warnings }
            }
            ("detach", _) => Self::Detach { who: first, kind, device, force: args.has('F') },
            _ => Self::List { who: words.to_vec(), kind, output },
        }))
    }
}
