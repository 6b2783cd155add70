//! The address from a DHCP server: taken, renewed, lost, and what is used instead.
//!
//! smoltcp speaks the protocol; this applies what it says to the stack. Runs in the `net` thread's
//! steps. A server's answer is a claim: an address no card can have is not used.

use smoltcp::iface::SocketHandle;
use smoltcp::socket::dhcpv4::{Event, RetryConfig, Socket};
use smoltcp::time::Duration;

use super::config::{Addresses, Source};
use super::state::State;

/// How long to wait for an offer before asking again.
const ASK_AGAIN: Duration = Duration::from_secs(1);
/// The same when an address of our own is in use.
const ASK_NOW_AND_THEN: Duration = Duration::from_secs(60);

/// The DHCP client of a stack.
pub struct Dhcp {
    handle: SocketHandle,
    fallback: Option<(Addresses, u64)>,
    /// When the fallback is used if no lease comes before.
    fallback_at_ns: Option<u64>,
}

impl Dhcp {
    /// A client that begins to ask in the next step.
    pub fn new(state: &mut State, fallback: Option<(Addresses, u64)>, now_ns: u64) -> Self {
        let mut socket = Socket::new();
        socket.set_retry_config(retry(ASK_AGAIN));
        let handle = state.sockets.add(socket);
        let fallback_at_ns =
            fallback.as_ref().map(|(_, after_ns)| now_ns.saturating_add(*after_ns));
        Self { handle, fallback, fallback_at_ns }
    }

    /// When the fallback is due.
    pub const fn due(&self) -> Option<u64> {
        self.fallback_at_ns
    }
}

fn retry(discover: Duration) -> RetryConfig {
    let mut retry = RetryConfig::default();
    retry.discover_timeout = discover;
    retry.initial_request_timeout = ASK_AGAIN;
    retry
}

enum News {
    Lease(Addresses),
    Lost,
}

impl State {
    /// Asks for an address at once, as after the link went up.
    pub fn ask_again(&mut self) {
        if let Some(dhcp) = &self.dhcp {
            self.sockets.get_mut::<Socket>(dhcp.handle).reset();
        }
    }

    /// Applies what the client learnt.
    pub fn follow_dhcp(&mut self, now_ns: u64) {
        let Some(handle) = self.dhcp.as_ref().map(|dhcp| dhcp.handle) else { return };
        let socket = self.sockets.get_mut::<Socket>(handle);
        let news = socket.poll().map(|event| match event {
            Event::Deconfigured => News::Lost,
            Event::Configured(config) => News::Lease(Addresses {
                address: config.address.address(),
                prefix: config.address.prefix_len(),
                gateway: config.router,
                dns: config.dns_servers.iter().copied().collect(),
            }),
        });
        match news {
            Some(News::Lease(lease)) => self.take_lease(&lease),
            Some(News::Lost) => self.lose_lease(now_ns),
            None => {}
        }
        self.fall_back(now_ns);
    }

    fn take_lease(&mut self, lease: &Addresses) {
        let is_same =
            self.current.as_ref().is_some_and(|(now, from)| now == lease && *from == Source::Dhcp);
        if !is_same {
            self.set_addresses(lease, Source::Dhcp);
        }
        let is_leased = self.current.as_ref().is_some_and(|(_, from)| *from == Source::Dhcp);
        if let Some(dhcp) = self.dhcp.as_mut().filter(|_| is_leased) {
            dhcp.fallback_at_ns = None;
            self.sockets.get_mut::<Socket>(dhcp.handle).set_retry_config(retry(ASK_AGAIN));
        }
    }

    fn lose_lease(&mut self, now_ns: u64) {
        if self.current.as_ref().is_none_or(|(_, source)| *source != Source::Dhcp) {
            return;
        }
        self.clear_addresses();
        if let Some(dhcp) = &mut self.dhcp {
            let wait_ns = dhcp.fallback.as_ref().map(|(_, after_ns)| *after_ns);
            dhcp.fallback_at_ns = wait_ns.map(|wait_ns| now_ns.saturating_add(wait_ns));
        }
    }

    /// Uses the fallback when its time has come, and asks seldom from then on.
    fn fall_back(&mut self, now_ns: u64) {
        let Some(dhcp) = &mut self.dhcp else { return };
        if dhcp.fallback_at_ns.is_none_or(|at_ns| now_ns < at_ns) {
            return;
        }
        dhcp.fallback_at_ns = None;
        self.sockets.get_mut::<Socket>(dhcp.handle).set_retry_config(retry(ASK_NOW_AND_THEN));
        if let Some((addresses, _)) = dhcp.fallback.clone() {
            self.set_addresses(&addresses, Source::Fallback);
        }
    }
}
