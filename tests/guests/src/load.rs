//! `load`: keeps every device it has busy until somebody ends it.
//!
//! A thread for each disk writes and reads, small and large, many requests in flight; another sends
//! frames to everybody and takes what comes. `load: at work` says that all of them have begun.
#![cfg_attr(target_os = "none", no_std)]
#![no_main]

extern crate alloc;

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::sync::atomic::{AtomicUsize, Ordering};

use pvkernel_core::device::block::{BlockDevice, BlockOp};
use pvkernel_core::device::measure::{self, Run};
use pvkernel_core::device::net::{FrameMeta, NetDevice};
use pvkernel_xen::blkfront::{self, Blkfront};
use pvkernel_xen::boot::BootInfo;
use pvkernel_xen::netfront::{wait_card, Netfront};
use pvkernel_xen::{power, println, thread, time};

pvkernel_xen::entry!(run);

const SECOND_NS: u64 = 1_000_000_000;
/// How long devices may take to be there; there is other load.
const LIMIT_NS: u64 = 20 * SECOND_NS;
/// A frame to everybody, of a kind for local experiments (IEEE 802).
const HEAD: [u8; 14] =
    [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 0x5a, 0x4c, 0x10, 0xad, 1, 0x88, 0xb5];

static BUSY: AtomicUsize = AtomicUsize::new(0);
static ROOM: thread::WaitQueue = thread::WaitQueue::new();

fn run(boot: &'static BootInfo) -> ! {
    let args = boot.args();
    if let Err(why) = start(args.value("disks").unwrap_or(""), args.has("card")) {
        println!("ZENDO-TEST load ERROR {why}");
        power::poweroff()
    }
    loop {
        thread::sleep_ns(SECOND_NS);
    }
}

/// Starts a thread for each device; returns when all have work on its way.
fn start(disks: &str, has_card: bool) -> Result<(), &'static str> {
    blkfront::start().map_err(|_| "no disks")?;
    let mut wanted = 0;
    for name in disks.split(',').filter(|name| !name.is_empty()) {
        let disk =
            blkfront::wait_for(name, time::now_ns() + LIMIT_NS).ok_or("a disk is missing")?;
        wanted += 1;
        thread::spawn("disk", move || use_disk(&disk)).map_err(|_| "no memory for a thread")?;
    }
    if has_card {
        let card = wait_card(0, time::now_ns() + LIMIT_NS).ok_or("the card is missing")?;
        wanted += 1;
        thread::spawn("card", move || use_card(&card)).map_err(|_| "no memory for a thread")?;
    }
    while BUSY.load(Ordering::Relaxed) < wanted {
        thread::sleep_ns(1_000_000);
    }
    println!("load: at work");
    Ok(())
}

fn use_disk(disk: &Arc<Blkfront>) {
    let large = (disk.info().max_sectors as usize * 512).min(64 << 10);
    for round in 0usize.. {
        let (bytes, depth) = if round % 2 == 0 { (4096, 16) } else { (large, 3) };
        let op = if round % 4 < 2 { BlockOp::Write } else { BlockOp::Read };
        let plan = Run { op, bytes, depth, requests: 64, is_random: true };
        if let Err(error) = measure::run(thread::kernel(), &**disk, &plan) {
            return println!("load: {} failed: {error:?}", disk.name());
        }
        if round == 0 {
            BUSY.fetch_add(1, Ordering::Relaxed);
        }
    }
}

fn use_card(card: &Arc<Netfront>) {
    card.set_wake(Box::new(|| ROOM.wake_all()));
    let len = (card.info().mtu + HEAD.len()).min(16_000);
    for round in 0usize.. {
        let mut fill = |to: &mut [u8]| to[..HEAD.len()].copy_from_slice(&HEAD);
        while !card.transmit(len, FrameMeta::default(), &mut fill) {
            card.flush();
            // Whether there is room or only something to take: either is looked at.
            ROOM.wait_deadline(time::now_ns() + SECOND_NS / 100, || card.can_transmit());
        }
        while card.receive(&mut |_, _| ()) {}
        if round == 64 {
            BUSY.fetch_add(1, Ordering::Relaxed);
        }
    }
}
