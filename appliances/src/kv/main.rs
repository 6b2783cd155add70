//! `kv`: keys and values over TCP at port 7000, kept on the disk `xvda`.
//!
//! `disk=NAME` and `port=N` on the command line choose others; `ip=` and its like see `machine`.
#![cfg_attr(target_os = "none", no_std)]
#![no_main]

extern crate alloc;

use alloc::sync::Arc;

use appliances::kv::disk::BlockDisk;
use appliances::kv::log::Kv;
use appliances::kv::server::{listen, serve};
use appliances::machine::{give_up, network};
use pvkernel_core::device::block::{BlockDevice, BlockInfo};
use pvkernel_core::sleep_lock::SleepLock;
use pvkernel_xen::blkfront;
use pvkernel_xen::boot::BootInfo;
use pvkernel_xen::{println, thread, time};

pvkernel_xen::entry!(run);

const NAME: &str = "kv";
/// How long the disk may take to be connected.
const CONNECT_NS: u64 = 15_000_000_000;
/// What may be kept in memory: a third of it, in bytes a page.
const BYTES_PER_PAGE: usize = 4096 / 3;

fn run(boot: &'static BootInfo) -> ! {
    let args = boot.args();
    let name = args.value("disk").unwrap_or("xvda");
    let port = args.number("port").unwrap_or(7000);
    let Ok(port) = u16::try_from(port) else {
        give_up(NAME, format_args!("port={port}: a port from 1 to 65535 was expected"))
    };
    let kv = open(boot, name);
    println!("{NAME}: {name} holds {} keys, generation {}", kv.count(), kv.generation());
    let kv = Arc::new(SleepLock::new(kv));
    let (stack, listener) = network(NAME, boot, |stack| listen(stack, port));
    if let Some(address) = stack.address() {
        println!("{NAME}: serving {address}:{port}");
    }
    match listener.and_then(|listener| serve(stack, &listener, &kv)) {
        Ok(()) => give_up(NAME, "the server ended"),
        Err(error) => give_up(NAME, error),
    }
}

/// Reads the disk; ends the domain when it cannot be used.
fn open(boot: &BootInfo, name: &str) -> Kv<BlockDisk> {
    if let Err(errno) = blkfront::start() {
        give_up(NAME, format_args!("no disks: {} ({})", errno.name(), errno.text()))
    }
    let Some(disk) = blkfront::wait_for(name, time::now_ns() + CONNECT_NS) else {
        give_up(
            NAME,
            format_args!("no disk {name} within 15 s; give it one: disk=['ram:8M,{name},w']"),
        )
    };
    let BlockInfo { sectors, read_only, .. } = disk.info();
    if read_only {
        give_up(NAME, format_args!("{name} is read-only; end its words in disk= with 'w'"))
    }
    let (seconds, nanoseconds) = time::wall_clock();
    let salt = time::tsc().rotate_left(32) ^ seconds.rotate_left(20) ^ u64::from(nanoseconds);
    let disk = BlockDisk::new(thread::kernel(), disk);
    match Kv::open(disk, salt, boot.nr_pages * BYTES_PER_PAGE) {
        Ok(kv) => kv,
        Err(why) => give_up(NAME, format_args!("{name} ({sectors} sectors): {why}")),
    }
}
