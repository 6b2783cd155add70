//! Network cards of a domain, as `vif = [...]` and `network-attach` describe them.
//!
//! Every word is optional, as with `xl`; the empty description is a card with a made address on the
//! switch of the control domain.

use super::disk::Wrong;
use super::mac::Mac;
use super::rate::Rate;
use super::value::shown;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::net::Ipv4Addr;
use serde::Serialize;

/// The name of the switch in the control domain.
pub const BRIDGE: &str = "xenbr0";
/// Smallest and largest payload of a frame.
const MTU: core::ops::RangeInclusive<u32> = 68..=65_500;
/// Longest name of an interface, as everywhere.
const LONGEST_NAME: usize = 15;
/// Most addresses of one card.
const MOST_ADDRESSES: usize = 8;

/// An address of a card, with the length of its network's prefix if that was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Address {
    /// The address.
    pub ip: Ipv4Addr,
    /// Bits of the network.
    pub prefix: Option<u8>,
}

impl core::fmt::Display for Address {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self.prefix {
            Some(prefix) => write!(f, "{}/{prefix}", self.ip),
            None => write!(f, "{}", self.ip),
        }
    }
}

impl Serialize for Address {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// One network card.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct VifConfig {
    /// Its number in the domain: its place in the configuration, or the first free one.
    pub devid: u32,
    /// Its address; one is made when the domain is created if there is none.
    pub mac: Option<Mac>,
    /// The switch it is on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bridge: Option<String>,
    /// Its addresses; the guest asks for one if there are none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ip: Vec<Address>,
    /// How much the guest may send.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate: Option<Rate>,
    /// Its name in the control domain.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vifname: Option<String>,
    /// Most bytes of a frame behind its Ethernet head.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mtu: Option<u32>,
    /// Whether frames with other addresses than its own are dropped.
    pub antispoof: bool,
    /// Whether it reaches the world and the control domain, but no other guest that is isolated.
    pub isolated: bool,
}

impl VifConfig {
    /// Reads a description; what is understood but not used is told in `warnings`.
    ///
    /// # Errors
    /// What is wrong with it, and what to try.
    pub fn parse(spec: &str, warnings: &mut Vec<String>) -> Result<Self, Wrong> {
        let mut vif = Self::default();
        let mut seen: Vec<&str> = Vec::new();
        let fields = spec.split(',').map(str::trim).filter(|field| !field.is_empty());
        for field in fields {
            let (key, value) = match field.split_once('=') {
                Some((key, value)) => (key.trim(), value.trim()),
                None => (field, ""),
            };
            if seen.contains(&key) {
                return Err((format!("{} is given twice", shown(key)), "give it once"));
            }
            seen.push(key);
            let is_flag = !field.contains('=');
            match (is_flag, key) {
                (true, "antispoof") => vif.antispoof = true,
                (true, "isolated") => vif.isolated = true,
                (true, "trusted") => {}
                (true, _) => {
                    let what = format!("'{}' has no '='", shown(key));
                    return Err((what, "write for example 'mac=00:16:3e:12:34:56,bridge=xenbr0'"));
                }
                (false, _) => vif.named(key, value, warnings)?,
            }
        }
        Ok(vif)
    }

    fn named(&mut self, key: &str, value: &str, warnings: &mut Vec<String>) -> Result<(), Wrong> {
        match key {
            "mac" => self.mac = Some(Mac::parse(value)?),
            "bridge" => self.bridge = Some(bridge(value, warnings)?),
            "ip" => self.ip = addresses(value)?,
            "rate" => self.rate = Some(Rate::parse(value)?),
            "vifname" => self.vifname = Some(interface(value)?),
            "mtu" => self.mtu = Some(mtu(value)?),
            "antispoof" => self.antispoof = switch(value)?,
            "isolated" => self.isolated = switch(value)?,
            "type" if value == "vif" || value == "netfront" => {}
            "type" => {
                let what = format!(
                    "cards of type '{}' are emulated, which PV guests do not have",
                    shown(value)
                );
                return Err((what, "write type=vif, or leave type out"));
            }
            "script" => warnings.push(format!("script '{}' is not run", shown(value))),
            "model" => warnings.push(format!("model '{}' is of emulated cards", shown(value))),
            "gatewaydev" | "accel" | "trusted" => warnings.push(format!("'{key}' is not used")),
            "backend" if matches!(value, "0" | super::DOM0_NAME) => {}
            "backend" => {
                let what = format!(
                    "'{}' is no backend domain, cards are served by Domain-0",
                    shown(value)
                );
                return Err((what, "leave backend out"));
            }
            _ => {
                let what = format!("unknown word '{}'", shown(key));
                return Err((
                    what,
                    "known are mac, bridge, ip, rate, vifname, mtu, antispoof and isolated",
                ));
            }
        }
        Ok(())
    }
}

fn bridge(name: &str, warnings: &mut Vec<String>) -> Result<String, Wrong> {
    let name = interface(name)?;
    if name != BRIDGE {
        warnings.push(format!("there is one switch, '{name}' is taken for {BRIDGE}"));
    }
    Ok(name)
}

fn interface(name: &str) -> Result<String, Wrong> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte);
    match !name.is_empty() && name.len() <= LONGEST_NAME && name.bytes().all(plain) {
        true => Ok(name.into()),
        false => {
            let what = format!("'{}' is no name of an interface", shown(name));
            Err((what, "use 1 to 15 letters, digits and - _ . :"))
        }
    }
}

fn addresses(text: &str) -> Result<Vec<Address>, Wrong> {
    let found: Result<Vec<Address>, Wrong> = text.split_whitespace().map(address).collect();
    let found = found?;
    match found.is_empty() || found.len() > MOST_ADDRESSES {
        false => Ok(found),
        true => {
            let what = format!("'{}' are {} addresses", shown(text), found.len());
            Err((what, "write one to eight, as in ip=10.0.2.40"))
        }
    }
}

fn address(text: &str) -> Result<Address, Wrong> {
    let wrong = || {
        let what = format!("'{}' is no IPv4 address", shown(text));
        (what, "write for example ip=10.0.2.40 or ip=10.0.2.40/24")
    };
    let (ip, prefix) = match text.split_once('/') {
        Some((ip, prefix)) => {
            let bits = prefix.parse().ok().filter(|bits| (1..=32).contains(bits));
            (ip, Some(bits.ok_or_else(wrong)?))
        }
        None => (text, None),
    };
    let ip: Ipv4Addr = ip.parse().map_err(|_| wrong())?;
    let is_host = !ip.is_unspecified() && !ip.is_multicast() && !ip.is_broadcast();
    if !is_host {
        return Err(wrong());
    }
    Ok(Address { ip, prefix })
}

fn mtu(text: &str) -> Result<u32, Wrong> {
    text.parse().ok().filter(|mtu| MTU.contains(mtu)).ok_or_else(|| {
        let what = format!("'{}' is no MTU", shown(text));
        (what, "write 68 to 65500; 1500 is usual")
    })
}

fn switch(text: &str) -> Result<bool, Wrong> {
    match text {
        "1" | "yes" | "on" | "true" => Ok(true),
        "0" | "no" | "off" | "false" => Ok(false),
        _ => Err((format!("'{}' is neither on nor off", shown(text)), "write 1 or 0")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(spec: &str) -> (VifConfig, Vec<String>) {
        let mut warnings = Vec::new();
        let vif = VifConfig::parse(spec, &mut warnings)
            .unwrap_or_else(|(what, advice)| panic!("{spec}: {what}; {advice}"));
        (vif, warnings)
    }

    #[test]
    fn the_empty_description_is_a_card() {
        for spec in ["", " ", ",", "type=vif", "backend=0"] {
            assert_eq!(read(spec), (VifConfig::default(), Vec::new()), "{spec}");
        }
    }

    #[test]
    fn every_word_is_understood() {
        let spec =
            "mac=00:16:3E:12:34:56, bridge=xenbr0,ip=10.0.2.40/24 10.0.2.41,rate=10Mb/s@50ms,\
            vifname=web0,mtu=9000,antispoof=1,isolated";
        let (vif, warnings) = read(spec);
        assert!(warnings.is_empty());
        assert_eq!(vif.mac, Some(Mac([0, 0x16, 0x3e, 0x12, 0x34, 0x56])));
        assert_eq!(vif.ip[0].prefix, Some(24));
        assert_eq!(vif.ip[1].ip, Ipv4Addr::new(10, 0, 2, 41));
        assert_eq!((vif.rate.unwrap().bytes, vif.mtu, vif.antispoof), (62_500, Some(9000), true));
        assert_eq!((vif.vifname.as_deref(), vif.isolated), (Some("web0"), true));
    }

    #[test]
    fn what_is_not_used_warns() {
        for (spec, expected) in [
            ("script=vif-route", "script 'vif-route' is not run"),
            ("model=e1000", "model 'e1000' is of emulated cards"),
            ("bridge=br1", "there is one switch, 'br1' is taken for xenbr0"),
        ] {
            assert_eq!(read(spec).1, [expected]);
        }
    }

    #[test]
    fn every_bad_description_says_what_and_what_to_try() {
        for (spec, expected) in [
            ("mac=5", "'5' is no MAC address"),
            ("mac=01:00:5e:00:00:01", "'01:00:5e:00:00:01' is an address of many cards"),
            ("mac=00:16:3e:12:34:56,mac=00:16:3e:12:34:57", "mac is given twice"),
            ("ip=10.0.2", "'10.0.2' is no IPv4 address"),
            ("ip=10.0.2.4/33", "'10.0.2.4/33' is no IPv4 address"),
            ("ip=224.0.0.1", "'224.0.0.1' is no IPv4 address"),
            ("ip=", "'' are 0 addresses"),
            ("rate=fast", "'fast' is no rate"),
            ("mtu=67", "'67' is no MTU"),
            ("mtu=65501", "'65501' is no MTU"),
            ("vifname=much-too-long-a-name", "'much-too-long-a-name' is no name of an interface"),
            ("bridge=", "'' is no name of an interface"),
            ("type=ioemu", "cards of type 'ioemu' are emulated"),
            ("backend=net", "'net' is no backend domain"),
            ("antispoof=perhaps", "'perhaps' is neither on nor off"),
            ("speed=1", "unknown word 'speed'"),
            ("bridge", "'bridge' has no '='"),
        ] {
            let (what, advice) = VifConfig::parse(spec, &mut Vec::new()).expect_err(spec);
            assert!(what.starts_with(expected), "{spec}\n  gave     {what}\n  expected {expected}");
            assert!(!advice.is_empty());
        }
    }

    proptest! {
        #[test]
        fn no_text_panics_or_breaks_the_line(spec in "[a-z0-9:=,/.\n\u{0} -]{0,60}") {
            let mut warnings = Vec::new();
            if let Err((what, _)) = VifConfig::parse(&spec, &mut warnings) {
                prop_assert!(!what.contains('\n'));
            }
            prop_assert!(warnings.iter().all(|warning| !warning.contains('\n')));
        }
    }
}
