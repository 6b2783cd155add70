//! The network of this machine: guests' cards, dom0's own port, and the card that leads out.
//!
//! What happens to frames is decided in `zl_backends::net`; here rings are mapped, pages copied and
//! guests notified. One thread, `netback`, moves all frames: it sleeps until something happened, does a
//! turn, and lets others run between two turns. Another, `vifs`, follows the store: it connects and
//! disconnects guests' cards.
//!
//! The hub is locked for one turn, or while a card comes or goes, and never while waiting.

mod copier;
mod driver;
mod ring;

use crate::complaints::Complaints;
use crate::devices;
use crate::xenstored;
use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use copier::GrantCopier;
use core::sync::atomic::{AtomicBool, Ordering};
use driver::VifDriver;
use hypercall_abi::DomId;
use pvkernel_core::device::net::{Mac, NetDevice};
use pvkernel_core::sync::Lock;
use pvkernel_xen::xenbus::BackBus;
use pvkernel_xen::{println, thread, time};
use ring::Ring;
use zl_backends::frame::Pool;
use zl_backends::net::{Hub, LocalPort, Stats};
use zl_backends::switch::PortId;
use zl_toolstack::devices::NetCounts;

/// Frames dom0 has memory for: 2 KiB and 64 KiB each.
const SMALL_FRAMES: usize = 320;
const LARGE_FRAMES: usize = 40;
/// What dom0's own port carries: as much as any guest's.
const LOCAL_MTU: usize = 65_500;
/// Address of dom0's port on a machine without a card.
const LOCAL_MAC: Mac = [0x02, 0x5a, 0x4c, 0, 0, 1];

/// What front halves cause to be said.
static COMPLAINTS: Complaints = Complaints::new("netback");

/// A guest's card that is connected.
#[derive(Clone, Copy)]
struct Vif {
    domain: DomId,
    devid: u32,
    port: PortId,
}

struct Netback {
    hub: Lock<Hub<Ring>>,
    local: Arc<LocalPort>,
    vifs: Lock<Vec<Vif>>,
}

static NETBACK: Lock<Option<&'static Netback>> = Lock::new(None);
static WORK: thread::WaitQueue = thread::WaitQueue::new();
static HAS_WORK: AtomicBool = AtomicBool::new(false);

/// Makes the switch, joins the machine's card and dom0's port to it, and begins to serve guests.
pub fn start() {
    let pool = Arc::new(Pool::new(SMALL_FRAMES, LARGE_FRAMES));
    let uplink = devices::uplink();
    let mac = uplink.as_ref().map_or(LOCAL_MAC, |card| card.info().mac);
    let local = LocalPort::new(mac, LOCAL_MTU, Arc::clone(&pool), Box::new(wake));
    let local = Arc::new(local);
    let mut hub = Hub::new(pool);
    hub.add_stack(Arc::clone(&local));
    if let Some(card) = uplink {
        card.set_wake(Box::new(wake));
        hub.add_card(card);
    }
    let netback = Netback { hub: Lock::new(hub), local, vifs: Lock::new(Vec::new()) };
    *NETBACK.lock() = Some(Box::leak(Box::new(netback)));
    for (name, body) in [("netback", serve as fn()), ("vifs", follow_store)] {
        if thread::spawn(name, body).is_err() {
            println!("dom0: no memory for the thread '{name}'; guests have no network");
        }
    }
}

fn netback() -> &'static Netback {
    let netback = *NETBACK.lock();
    netback.expect("the switch is made before any thread starts")
}

/// dom0's own port of the switch, for its IP stack.
pub fn local() -> &'static dyn NetDevice {
    netback().local.as_ref()
}

/// What passed the cards of a domain, as `zl top` shows it.
pub fn counts(domain: DomId) -> Vec<NetCounts> {
    let netback = netback();
    let vifs = netback.vifs.lock().clone();
    let hub = netback.hub.lock();
    let its_own = vifs.iter().filter(|vif| vif.domain == domain);
    let counts = |vif: &Vif| Some(counts_of(vif.devid, &hub.stats(vif.port)?));
    its_own.filter_map(counts).collect()
}

/// The guest sends what the switch receives.
const fn counts_of(devid: u32, stats: &Stats) -> NetCounts {
    NetCounts {
        devid,
        tx_bytes: stats.received_bytes,
        tx_frames: stats.received,
        tx_dropped: stats.refused + stats.spoofed,
        rx_bytes: stats.sent_bytes,
        rx_frames: stats.sent,
        rx_dropped: stats.unclaimed + stats.too_long,
    }
}

/// There is something to do; may be called by event handlers.
fn wake() {
    HAS_WORK.store(true, Ordering::Release);
    WORK.wake_all();
}

/// Moves frames, for ever: the thread `netback`.
fn serve() {
    let netback = netback();
    let mut copier = GrantCopier::new();
    loop {
        let mut hub = netback.hub.lock();
        let after = hub.turn(&mut copier, time::now_ns());
        let broken = hub.take_broken();
        drop(hub);
        if let Some((domain, corrupt)) = broken {
            COMPLAINTS.say(format_args!("domain {domain}: {corrupt}; its card is given up"));
        }
        if after.again {
            thread::yield_now();
            continue;
        }
        let is_told = || HAS_WORK.swap(false, Ordering::AcqRel);
        match after.deadline_ns {
            None => WORK.wait_until(is_told),
            Some(deadline_ns) => {
                WORK.wait_deadline(deadline_ns, is_told);
            }
        }
    }
}

/// Begins anew.
type Restart = Arc<dyn Fn() + Send + Sync>;

static RESTART: Lock<Option<Restart>> = Lock::new(None);

/// All back halves go without a word and come again.
///
/// # Errors
/// One line.
pub fn restart() -> Result<(), String> {
    let restart = RESTART.lock().clone();
    restart.ok_or("the store is not watched, so there are no back halves")?();
    Ok(())
}

/// Follows the store, for ever: the thread `vifs`.
fn follow_store() {
    let bus = BackBus::new(xenstored::local(), "vif", |device| Box::new(VifDriver::new(device)));
    *RESTART.lock() = Some(Arc::new(bus.restarter()));
    let Err(errno) = bus.run();
    println!("dom0: guests have no network: the store cannot be watched: {}", errno.name());
}
