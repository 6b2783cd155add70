//! What the appliances share of the real machine: who they are, their card and its address.
//!
//! The address is, in this order: `ip=ADDRESS[/PREFIX]` of the command line, with `gateway=` and
//! `dns=`; `ip=` of the card in the domain's configuration, which the store has; DHCP's.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::sync::Arc;

use pv_xenbus::{Store, Tx};
use pvkernel_core::device::net::NetDevice;
use pvkernel_core::net::{Config, Stack};
use pvkernel_xen::boot::BootInfo;
use pvkernel_xen::hypercall::version;
use pvkernel_xen::netfront::{self, Netfront};
use pvkernel_xen::{power, println, services, stats, thread, time, xenstore};

use crate::httpd::facts::{FactSource, Facts};

const SECOND_NS: u64 = 1_000_000_000;
/// How long a card may take to be connected, and an address to come.
const CONNECT_NS: u64 = 15 * SECOND_NS;

/// Says why the appliance cannot do its work, and ends it.
pub fn give_up(program: &str, why: impl core::fmt::Display) -> ! {
    println!("{program}: {why}");
    power::poweroff()
}

/// Starts to listen to the tools, and IP on the first card; ends the domain when that fails. `ready` makes
/// what must be there before the address is announced, as a listener: who waited for the address comes at
/// once, and whose first packet finds nobody may try again only after seconds.
pub fn network<T>(
    program: &str,
    boot: &'static BootInfo,
    ready: impl FnOnce(&'static Stack) -> T,
) -> (&'static Stack, T) {
    services::start();
    let Some(card) = netfront::wait_card(0, time::now_ns() + CONNECT_NS) else {
        give_up(program, "no network card within 15 s; give the domain one with vif=['']")
    };
    let config = match config(boot, xenstore::store()) {
        Ok(config) => config,
        Err(why) => give_up(program, why),
    };
    let card: &'static Arc<Netfront> = Box::leak(Box::new(card));
    let info = card.info();
    let stack = match Stack::start(thread::kernel(), card.as_ref(), config, time::tsc()) {
        Ok(stack) => stack,
        Err(error) => give_up(program, format_args!("no IP: {error}")),
    };
    // The stack's thread has not run yet.
    let ready = ready(stack);
    let Some(now) = stack.wait_address(Some(time::now_ns() + CONNECT_NS)) else {
        give_up(program, "no address by DHCP within 15 s; give it one with vif=['ip=ADDRESS']")
    };
    println!("{program}: {} mtu {}, address {}/{}", mac(card), info.mtu, now.address, now.prefix);
    (stack, ready)
}

fn mac(card: &Netfront) -> String {
    card.info().mac.map(|byte| format!("{byte:02x}")).join(":")
}

/// Where the address comes from.
fn config(boot: &BootInfo, store: &dyn Store) -> Result<Config, String> {
    let args = boot.args();
    let told = args.value("ip").map(String::from).or_else(|| stored_address(store));
    Config::from_words(told.as_deref(), args.value("gateway"), args.value("dns"))
}

/// The first address that the configuration gives the first card.
fn stored_address(store: &dyn Store) -> Option<String> {
    let back = store.text(Tx::NONE, "device/vif/0/backend").ok()?;
    let all = store.text(Tx::NONE, &format!("{back}/ip")).ok()?;
    all.split_whitespace().next().map(String::from)
}

/// This domain, for pages.
pub struct Domain {
    stack: &'static Stack,
    name: String,
    domid: Option<u16>,
    hypervisor: String,
    memory_kib: u64,
    start_ns: u64,
}

impl Domain {
    /// The domain, as far as the store and the hypervisor tell.
    #[must_use]
    pub fn find(boot: &BootInfo, stack: &'static Stack) -> Self {
        let store = xenstore::store();
        let name = store.text(Tx::NONE, "name").unwrap_or_else(|_| "a domain".to_string());
        let domid = store.number(Tx::NONE, "domid").ok().and_then(|id| u16::try_from(id).ok());
        let memory_kib = boot.nr_pages as u64 * 4;
        let start_ns = time::now_ns();
        Self { stack, name, domid, hypervisor: hypervisor(), memory_kib, start_ns }
    }
}

/// The hypervisor's version as it is written.
fn hypervisor() -> String {
    let number = version::version();
    let extra = version::extraversion().unwrap_or([0; 16]);
    let len = extra.iter().position(|byte| *byte == 0).unwrap_or(extra.len());
    let extra = core::str::from_utf8(&extra[..len]).unwrap_or("");
    format!("Xen {}.{}{extra}", number >> 16, number & 0xffff)
}

impl FactSource for Domain {
    fn facts(&self) -> Facts {
        let status = self.stack.status();
        let heap_free = stats::heap_total_bytes().saturating_sub(stats::heap_used_bytes());
        let address = status.addresses.map(|(now, _)| now.address.to_string());
        Facts {
            name: self.name.clone(),
            domid: self.domid,
            hypervisor: self.hypervisor.clone(),
            address: address.unwrap_or_default(),
            mac: status.card.mac.map(|byte| format!("{byte:02x}")).join(":"),
            uptime_ns: time::now_ns().saturating_sub(self.start_ns),
            memory_kib: self.memory_kib,
            free_kib: stats::free_frames() as u64 * 4 + heap_free as u64 / 1024,
            threads: stats::threads() as u64,
            frames: (status.traffic.rx_frames, status.traffic.tx_frames),
            requests: 0,
            connections: 0,
        }
    }
}
