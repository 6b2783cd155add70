//! The back halves of disks.
//!
//! One thread, `blkback`, serves all front halves in turns of bounded work, so that none keeps the
//! others waiting and the rest of dom0 gets on. Another, `vbd`, follows the store (`bus`), hands it
//! devices with `attach` and takes them back with `detach`. `frames` moves bytes, `backing` says what a
//! disk is made of and who uses it, `device` is one front half.
//!
//! A front half that dies is no event here: its frames and ring stay valid while they are mapped, and
//! `detach` gives everything back at once. What the disk still works on then uses buffers of the disk.

mod backing;
mod bus;
mod device;
mod frames;

pub use backing::{drop_ram, forget_ram, settle, Backing, Lease};
pub use bus::restart;
use device::{Device, News};

use crate::complaints::Complaints;
use crate::xenstored;
use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use device::Turn;
use hypercall_abi::DomId;
use pvkernel_core::sync::Lock;
use pvkernel_xen::{println, thread, time};
use zl_toolstack::devices::DiskCounts;

/// How soon a disk is asked again that took nothing because others used it.
const RETRY_NS: u64 = 1_000_000;

/// What front halves cause to be said.
static COMPLAINTS: Complaints = Complaints::new("blkback");

/// Names a device for `detach`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct DeviceId(u64);

enum Order {
    Serve(DeviceId, Box<Device>),
    Drop(DeviceId),
}

static ORDERS: Lock<Vec<Order>> = Lock::new(Vec::new());
static WORK: thread::WaitQueue = thread::WaitQueue::new();
static IS_WORK: AtomicBool = AtomicBool::new(false);
/// Devices being served, and what others see of them.
static SERVED: Lock<Vec<(DeviceId, Arc<News>)>> = Lock::new(Vec::new());
static NEXT: AtomicU64 = AtomicU64::new(1);
static DROPPED: thread::WaitQueue = thread::WaitQueue::new();

/// Wakes the thread.
fn wake() {
    IS_WORK.store(true, Ordering::Release);
    WORK.wake_all();
}

/// Has a device served from now on.
fn attach(device: Device) -> DeviceId {
    let id = DeviceId(NEXT.fetch_add(1, Ordering::Relaxed));
    SERVED.lock().push((id, Arc::clone(device.news())));
    ORDERS.lock().push(Order::Serve(id, Box::new(device)));
    wake();
    id
}

/// Ends a device: when this returns, nothing of its domain is mapped or in use. Waits.
fn detach(id: DeviceId) {
    ORDERS.lock().push(Order::Drop(id));
    wake();
    DROPPED.wait_until(|| !SERVED.lock().iter().any(|(served, _)| *served == id));
}

/// What was done for the disks of a domain.
pub fn counts(domain: DomId) -> Vec<DiskCounts> {
    let served = SERVED.lock();
    let of_domain = served.iter().filter(|(_, news)| news.peer() == domain);
    of_domain.map(|(_, news)| news.counts()).collect()
}

/// Follows the store: the thread `vbd`.
pub fn follow() {
    let Err(errno) = bus::run(xenstored::local());
    println!("dom0: no disks for domains: the store cannot be watched: {}", errno.name());
}

/// Serves front halves: the thread `blkback`.
pub fn serve() {
    let mut devices: Vec<(DeviceId, Device)> = Vec::new();
    let mut is_starved = false;
    loop {
        let is_work = || IS_WORK.swap(false, Ordering::AcqRel);
        match is_starved {
            false => WORK.wait_until(is_work),
            true => {
                WORK.wait_deadline(time::now_ns() + RETRY_NS, is_work);
                devices.iter().for_each(|(_, device)| device.news().note());
            }
        }
        is_starved = false;
        loop {
            follow_orders(&mut devices);
            let (has_more, starved) = serve_round(&mut devices);
            is_starved |= starved;
            // What came in meanwhile was noted, and the wait ends at once.
            if !has_more {
                break;
            }
            thread::yield_now();
        }
    }
}

fn follow_orders(devices: &mut Vec<(DeviceId, Device)>) {
    let orders = core::mem::take(&mut *ORDERS.lock());
    for order in orders {
        match order {
            Order::Serve(id, device) => devices.push((id, *device)),
            Order::Drop(id) => {
                devices.retain(|(served, _)| *served != id);
                forget(id);
            }
        }
    }
}

fn forget(id: DeviceId) {
    SERVED.lock().retain(|(served, _)| *served != id);
    DROPPED.wake_all();
}

/// A turn for each device that has something to do: whether one has more, and whether a disk took
/// nothing.
fn serve_round(devices: &mut Vec<(DeviceId, Device)>) -> (bool, bool) {
    let (mut has_more, mut starved) = (false, false);
    devices.retain_mut(|(id, device)| {
        if !device.is_ready() {
            return true;
        }
        match device.turn() {
            Ok(turn) => {
                has_more |= turn == Turn::More;
                starved |= turn == Turn::Starved;
                true
            }
            Err(corrupt) => {
                let peer = device.peer();
                COMPLAINTS.say(format_args!("domain {peer}: {corrupt}; its disk is given up"));
                forget(*id);
                false
            }
        }
    });
    (has_more, starved)
}
