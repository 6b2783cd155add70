//! The state of a stack and the steps smoltcp makes on it.
//!
//! Everything here runs with the stack's lock held and waits for nothing. `stack` decides when.
//!
//! What always holds: a step handles a bounded number of frames and says when it stopped early; the
//! time of the next step is never "now" when a step now would do nothing, so nobody spins.

use alloc::vec::Vec;

use smoltcp::iface::{
    Config as InterfaceConfig, Interface, PollIngressSingleResult, PollResult, SocketHandle,
    SocketSet,
};
use smoltcp::socket::{dns, AnySocket};
use smoltcp::time::Instant;
use smoltcp::wire::{EthernetAddress, HardwareAddress, IpAddress, IpCidr, Ipv4Cidr};

use super::config::{is_unicast, Addresses, NetError, Source};
use super::dhcp::Dhcp;
use super::orphan::Orphan;
use super::phy::Phy;
use super::tcp_listener::Listening;
use crate::device::net::Mac;

/// Sockets a stack may have, the one for DNS and closing ones included.
pub const MAX_SOCKETS: usize = 128;
/// Frames taken in one step, and rounds over the sockets in which each sends a frame.
const STEP: usize = 64;
/// When to look again at a socket that wants to send and cannot, although the card could.
const STUCK_NS: u64 = 1_000_000;
const FIRST_EPHEMERAL: u16 = 49_152;
/// Questions about names in flight.
pub const MAX_QUERIES: usize = 8;

/// smoltcp's clock.
pub fn instant(now_ns: u64) -> Instant {
    Instant::from_micros((now_ns / 1000) as i64)
}

/// Everything behind the lock of a stack.
pub struct State {
    pub phy: Phy,
    pub iface: Interface,
    pub sockets: SocketSet<'static>,
    pub current: Option<(Addresses, Source)>,
    pub dhcp: Option<Dhcp>,
    pub dns: SocketHandle,
    pub queries: usize,
    pub orphans: Vec<Orphan>,
    pub listeners: Vec<Listening>,
    /// Identifiers of pings.
    pub pingers: Vec<u16>,
    /// Times the `net` thread did something.
    pub turns: u64,
    /// When the `net` thread wakes by itself.
    pub sleeps_until: u64,
    /// Nobody was told yet that the address is ours.
    is_unannounced: bool,
    /// Addresses were set or taken away since the last look.
    pub addresses_changed: bool,
    /// The time of the last step.
    pub now: Instant,
    seed: u64,
    next_port: u16,
}

/// The card's address in smoltcp's words, if it is one of a single card.
fn hardware(mac: Mac) -> Option<HardwareAddress> {
    let address = EthernetAddress(mac);
    (address.is_unicast() && mac != [0; 6]).then_some(HardwareAddress::Ethernet(address))
}

fn interface(phy: &mut Phy, seed: u64, now: Instant) -> Option<Interface> {
    let mut config = InterfaceConfig::new(hardware(phy.info().mac)?);
    config.random_seed = seed;
    Some(Interface::new(config, phy, now))
}

impl State {
    /// A state without an address.
    pub fn new(mut phy: Phy, seed: u64, now_ns: u64) -> Result<Self, NetError> {
        let iface = interface(&mut phy, seed, instant(now_ns)).ok_or(NetError::BadDevice)?;
        let mut sockets = SocketSet::new(Vec::with_capacity(MAX_SOCKETS));
        let dns = sockets.add(dns::Socket::new(&[], Vec::new()));
        Ok(Self {
            phy,
            iface,
            sockets,
            current: None,
            dhcp: None,
            dns,
            queries: 0,
            orphans: Vec::new(),
            listeners: Vec::new(),
            pingers: Vec::new(),
            turns: 0,
            sleeps_until: u64::MAX,
            is_unannounced: false,
            addresses_changed: false,
            now: instant(now_ns),
            seed,
            next_port: FIRST_EPHEMERAL + (seed % 16_000) as u16,
        })
    }

    /// Takes frames from the card, lets every socket send, and tidies up; true when more is to be done
    /// at once.
    pub fn step(&mut self, now_ns: u64) -> bool {
        let now = instant(now_ns);
        self.now = now;
        if self.phy.has_changed() {
            self.become_another_card(now);
        }
        let mut taken = 0;
        while taken < STEP && self.take_frame(now) {
            taken += 1;
        }
        self.follow_dhcp(now_ns);
        self.reap(now_ns);
        self.is_unannounced = self.is_unannounced && !self.phy.announce();
        let is_early = self.send(now_ns);
        // Those whose last frame just went.
        self.reap(now_ns);
        is_early || taken == STEP
    }

    fn take_frame(&mut self, now: Instant) -> bool {
        let result = self.iface.poll_ingress_single(now, &mut self.phy, &mut self.sockets);
        self.phy.send_reply();
        result != PollIngressSingleResult::None
    }

    /// Lets every socket send what it has; true when it stopped early.
    pub fn send(&mut self, now_ns: u64) -> bool {
        let now = instant(now_ns);
        self.now = now;
        for _ in 0..STEP {
            let result = self.iface.poll_egress(now, &mut self.phy, &mut self.sockets);
            if result == PollResult::None {
                return false;
            }
        }
        self.phy.can_transmit()
    }

    /// When the next step is due if nothing else happens.
    pub fn due(&mut self, now_ns: u64) -> u64 {
        let now = instant(now_ns);
        let protocols = match self.iface.poll_at(now, &self.sockets) {
            None => u64::MAX,
            Some(at) if at > now => at.total_micros() as u64 * 1000,
            Some(_) if self.phy.can_transmit() => now_ns + STUCK_NS,
            // The card says when it has room again.
            Some(_) => u64::MAX,
        };
        let orphans = self.orphans.iter().map(|orphan| orphan.until_ns).min();
        let fallback = self.dhcp.as_ref().and_then(Dhcp::due);
        protocols.min(orphans.unwrap_or(u64::MAX)).min(fallback.unwrap_or(u64::MAX))
    }

    /// The card's address, size or link changed, as when a back end was started again.
    fn become_another_card(&mut self, now: Instant) {
        let Some(iface) = interface(&mut self.phy, self.seed, now) else { return };
        self.iface = iface;
        if let Some((addresses, source)) = self.current.take() {
            self.use_addresses(&addresses, source);
        }
        if self.phy.info().is_up {
            self.ask_again();
        }
    }

    /// Uses an address from now on; one that no card can have is not used.
    pub fn set_addresses(&mut self, addresses: &Addresses, source: Source) {
        if addresses.is_usable() {
            self.use_addresses(addresses, source);
        }
    }

    /// The same for addresses that are known to be right.
    pub fn use_addresses(&mut self, addresses: &Addresses, source: Source) {
        let cidr = IpCidr::Ipv4(Ipv4Cidr::new(addresses.address, addresses.prefix));
        self.iface.update_ip_addrs(|list| {
            list.clear();
            // An empty list has room.
            let _ = list.push(cidr);
        });
        let routes = self.iface.routes_mut();
        routes.remove_default_ipv4_route();
        if let Some(gateway) = addresses.gateway.filter(|gateway| is_unicast(*gateway)) {
            let _ = routes.add_default_ipv4_route(gateway);
        }
        let servers = addresses.dns.iter().filter(|server| is_unicast(**server)).take(3);
        let servers: Vec<IpAddress> = servers.map(|server| IpAddress::Ipv4(*server)).collect();
        self.sockets.get_mut::<dns::Socket>(self.dns).update_servers(&servers);
        self.current = Some((addresses.clone(), source));
        self.phy.own = Some(addresses.address);
        self.is_unannounced = true;
        self.addresses_changed = true;
    }

    /// Uses no address from now on.
    pub fn clear_addresses(&mut self) {
        if self.current.take().is_none() {
            return;
        }
        self.phy.own = None;
        self.iface.update_ip_addrs(|list| list.clear());
        self.iface.routes_mut().remove_default_ipv4_route();
        self.addresses_changed = true;
    }

    /// Adds a socket if there may be one more. Closing sockets give way to new ones.
    pub fn add<T: AnySocket<'static>>(&mut self, socket: T) -> Result<SocketHandle, NetError> {
        while self.sockets.iter().count() >= MAX_SOCKETS {
            if !self.forget_oldest_orphan() {
                return Err(NetError::TooManySockets);
            }
        }
        Ok(self.sockets.add(socket))
    }

    /// A port nobody used lately.
    pub fn ephemeral_port(&mut self, is_used: impl Fn(&Self, u16) -> bool) -> Option<u16> {
        for _ in 0..=u16::MAX - FIRST_EPHEMERAL {
            let port = self.next_port;
            self.next_port = port.checked_add(1).unwrap_or(FIRST_EPHEMERAL);
            if !is_used(self, port) {
                return Some(port);
            }
        }
        None
    }
}

/// A buffer of a socket.
pub fn buffer(bytes: usize) -> Result<Vec<u8>, NetError> {
    let mut buffer = Vec::new();
    buffer.try_reserve_exact(bytes).map_err(|_| NetError::NoMemory)?;
    buffer.resize(bytes, 0);
    Ok(buffer)
}
