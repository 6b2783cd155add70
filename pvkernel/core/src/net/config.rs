//! What a stack is told at its start, and what can go wrong later.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::net::Ipv4Addr;

/// An address and what goes with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Addresses {
    /// This card's address.
    pub address: Ipv4Addr,
    /// Leading bits that all neighbours share.
    pub prefix: u8,
    /// Who carries packets to everybody else.
    pub gateway: Option<Ipv4Addr>,
    /// Who is asked for names; at most three are used.
    pub dns: Vec<Ipv4Addr>,
}

impl Addresses {
    /// An address in a network with a prefix, without a gateway.
    #[must_use]
    pub const fn new(address: Ipv4Addr, prefix: u8) -> Self {
        Self { address, prefix, gateway: None, dns: Vec::new() }
    }

    /// The same with a gateway that answers for names, too, or has a neighbour that does.
    #[must_use]
    pub fn with_gateway(mut self, gateway: Ipv4Addr, dns: Ipv4Addr) -> Self {
        self.gateway = Some(gateway);
        self.dns.push(dns);
        self
    }

    /// Whether a card can have this address.
    #[must_use]
    pub fn is_usable(&self) -> bool {
        is_unicast(self.address) && self.prefix <= 32
    }
}

/// Whether one machine can have this address.
pub(super) fn is_unicast(address: Ipv4Addr) -> bool {
    !(address.is_unspecified()
        || address.is_broadcast()
        || address.is_multicast()
        || address.is_loopback())
}

/// Where the address of a stack comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Config {
    /// From the caller.
    Static(Addresses),
    /// From a DHCP server.
    Dhcp {
        /// The address to use as long as no server answers, and after how many nanoseconds.
        fallback: Option<(Addresses, u64)>,
    },
    /// 127.0.0.1, on a card that leads back.
    Loopback,
}

/// Whether a stack with the address `own` sends to `peer`: a card to other machines, and a loop to itself.
pub(super) fn can_reach(own: Ipv4Addr, peer: Ipv4Addr) -> bool {
    match own.is_loopback() {
        true => peer == own,
        false => is_unicast(peer),
    }
}

/// The prefix of an address that says none.
const PREFIX: u8 = 24;

impl Config {
    /// What the words `ip=ADDRESS[/PREFIX]`, `gateway=` and `dns=` say; DHCP without the first.
    ///
    /// # Errors
    /// The word that is wrong, and why.
    pub fn from_words(
        ip: Option<&str>,
        gateway: Option<&str>,
        dns: Option<&str>,
    ) -> Result<Self, String> {
        let Some(told) = ip else { return Ok(Self::Dhcp { fallback: None }) };
        let parse = |key: &str, text: &str| {
            text.parse::<Ipv4Addr>().map_err(|_| format!("{key}={text}: no IPv4 address"))
        };
        let (address, prefix) = match told.split_once('/') {
            None => (told, PREFIX),
            Some((address, prefix)) => {
                let number = prefix.parse().ok().filter(|prefix| *prefix <= 32);
                (address, number.ok_or_else(|| format!("ip={told}: no prefix from 0 to 32"))?)
            }
        };
        let mut addresses = Addresses::new(parse("ip", address)?, prefix);
        // QEMU's network has its gateway and its name server at these places.
        let [a, b, c, _] = addresses.address.octets();
        let usual = |host| (prefix == PREFIX).then_some(Ipv4Addr::new(a, b, c, host));
        addresses.gateway = match gateway {
            Some(text) => Some(parse("gateway", text)?),
            None => usual(2),
        };
        match dns {
            Some(text) => addresses.dns.push(parse("dns", text)?),
            None => addresses.dns.extend(usual(3)),
        }
        match addresses.is_usable() {
            true => Ok(Self::Static(addresses)),
            false => Err(format!("ip={told}: not the address of one machine")),
        }
    }
}

/// Where an address came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// From the caller.
    Static,
    /// From a DHCP server; the lease is renewed.
    Dhcp,
    /// From the caller, as no DHCP server answered yet.
    Fallback,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Static => "static",
            Self::Dhcp => "dhcp",
            Self::Fallback => "fallback",
        })
    }
}

/// Why a call failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NetError {
    /// The card's address is no address of one card.
    BadDevice,
    /// The stack has no address yet.
    NoAddress,
    /// The address or port makes no sense here.
    BadAddress,
    /// The port is used.
    InUse,
    /// The stack has as many sockets as it may have.
    TooManySockets,
    /// There was not enough memory.
    NoMemory,
    /// The other side refused the connection.
    Refused,
    /// The connection ended without its end being said.
    Reset,
    /// This side said that it sends no more.
    Closed,
    /// Nothing happened before the deadline.
    TimedOut,
    /// More than a packet of this card can carry.
    TooLong,
    /// The name cannot be a name.
    BadName,
    /// Nobody knows the name, or there is nobody to ask.
    UnknownName,
}

impl fmt::Display for NetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::BadDevice => "the card's MAC address is none of a single card",
            Self::NoAddress => "this stack has no IP address yet",
            Self::BadAddress => "no usable address or port",
            Self::InUse => "the port is used",
            Self::TooManySockets => "too many sockets",
            Self::NoMemory => "no memory",
            Self::Refused => "connection refused",
            Self::Reset => "connection reset",
            Self::Closed => "the connection was shut down here",
            Self::TimedOut => "timed out",
            Self::TooLong => "too long for a packet",
            Self::BadName => "not a host name",
            Self::UnknownName => "unknown host name",
        })
    }
}
