//! Configurations of domains in the syntax of `xl.cfg`.
//!
//! Called by the verbs that create domains. The text passes three steps: `lex` finds tokens,
//! `parse` finds settings, `domain` gives them types. `keys` knows the words, `policy` the values
//! with a fixed spelling; `devices` reads disks and network cards, one file each for what they consist of.
//!
//! Invariant: a `DomainConfig` that exists has only values in range; every complaint is one line
//! with file, line, column, what was expected and what to try.
//!
//! Includes, expressions and Python are not part of the language.

mod devices;
pub mod disk;
pub mod domain;
pub mod keys;
pub mod lex;
pub mod mac;
pub mod parse;
pub mod policy;
pub mod rate;
mod reader;
#[cfg(test)]
mod tests;
pub mod value;
pub mod vdev;
pub mod vif;

pub use disk::{Backing, DiskConfig};
pub use domain::{check_name, DomainConfig, EndActions, ReadConfig, DOM0_NAME};
pub use mac::Mac;
pub use parse::{parse_config, parse_override};
pub use policy::{Action, Uuid};
pub use rate::Rate;
pub use value::{shown, ConfigError};
pub use vdev::Vdev;
pub use vif::VifConfig;

/// Reads the configuration of a file and the `key=value` arguments that override it.
///
/// # Errors
/// The first complaint about the file or an argument.
pub fn read_config(
    file: &str,
    bytes: &[u8],
    overrides: &[alloc::string::String],
) -> Result<ReadConfig, ConfigError> {
    let settings = parse_config(file, bytes)?;
    let mut given = alloc::vec::Vec::new();
    for argument in overrides {
        given.push(parse_override(argument)?);
    }
    DomainConfig::read(file, &settings, &given)
}
