//! `shell`: the teaching kernel on a hypervisor, with programs from the boot module.
//!
//! It runs as an ordinary domain, as the first domain, and as the control domain of Xen. Words of the command
//! line: `init=PATH` names the first program, `ip=`, `gateway=` and `dns=` an address, `tricks=` is read by the backend, `tell-start` has it said how
//! many ticks of the time stamp counter lie between the first instruction and the shell's prompt, and what
//! stands behind `--` are the first program's arguments.
#![cfg_attr(target_os = "none", no_std)]
#![no_main]
#![deny(unsafe_code)]

extern crate alloc;

use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU64, Ordering};

use pv_xenbus::Tx;
use pvkernel_core::blkfront::disk_name;
use pvkernel_core::device::block::BlockDevice;
use pvkernel_core::net::{Config, Stack};
use pvkernel_core::os::{self, PowerEnd, Setup};
use pvkernel_xen::boot::BootInfo;
use pvkernel_xen::netfront::{self, Netfront};
use pvkernel_xen::{blkfront, console, power, println, services, thread, time, xenstore};

pvkernel_xen::entry!(run);

/// The first program, if the command line names none.
const INIT: &str = "/bin/init";
/// The time stamp counter at the first instruction, as long as it is to be told how long the start took.
static START_TSC: AtomicU64 = AtomicU64::new(0);
/// How long a disk may take to be connected.
const CONNECT_NS: u64 = 15_000_000_000;

fn run(boot: &'static BootInfo) -> ! {
    services::start();
    if boot.args().has("tell-start") {
        START_TSC.store(boot.entry_tsc, Ordering::Relaxed);
    }
    let setup = Setup {
        archive: boot.ramdisk,
        disks: disks(),
        make: Some(pvkernel_ext4::mount),
        wait_input: Some(wait_input),
        power: end,
        network: Some(Box::new(move || network(boot))),
    };
    let init = boot.args().value("init").unwrap_or(INIT);
    let behind = boot.cmdline.split_whitespace().skip_while(|word| *word != "--").skip(1);
    let words = core::iter::once(init).chain(behind);
    let args: Vec<&[u8]> = words.map(str::as_bytes).collect();
    match os::run(thread::kernel(), setup, &args) {
        Ok(status) => println!("shell: {init} ended with status {status}"),
        Err(errno) => println!("shell: {init}: {}", errno.text()),
    }
    power::poweroff()
}

/// Waits until something was typed. The first time is when the shell's prompt stands there.
fn wait_input() {
    let start_tsc = START_TSC.swap(0, Ordering::Relaxed);
    if start_tsc != 0 {
        println!("\nshell: first wait for input after {} ticks", time::tsc() - start_tsc);
    }
    console::wait_input();
}

fn end(how: PowerEnd) -> ! {
    match how {
        PowerEnd::Off => power::poweroff(),
        PowerEnd::Reboot => power::reboot(),
    }
}

/// IP on the first card the store offers. The address is `ip=` of the command line, or the card's in the
/// configuration, or DHCP's.
fn network(boot: &'static BootInfo) -> Option<&'static Stack> {
    if !xenstore::is_present() {
        return None;
    }
    let store = xenstore::store();
    let back = store.text(Tx::NONE, "device/vif/0/backend").ok()?;
    let stored = store.text(Tx::NONE, &format!("{back}/ip")).unwrap_or_default();
    let args = boot.args();
    let ip = args.value("ip").or_else(|| stored.split_whitespace().next());
    let config = Config::from_words(ip, args.value("gateway"), args.value("dns"));
    let config = config.map_err(|why| println!("shell: no network: {why}")).ok()?;
    let Some(card) = netfront::wait_card(0, time::now_ns() + CONNECT_NS) else {
        println!("shell: the network card was not connected within 15 s");
        return None;
    };
    let card: &'static Arc<Netfront> = Box::leak(Box::new(card));
    let stack = Stack::start(thread::kernel(), card.as_ref(), config, time::tsc());
    stack.map_err(|error| println!("shell: no network: {error}")).ok()
}

/// The disks the store offers, as soon as they are connected.
fn disks() -> Vec<(String, Arc<dyn BlockDevice>)> {
    let mut found: Vec<(String, Arc<dyn BlockDevice>)> = Vec::new();
    if !xenstore::is_present() {
        return found;
    }
    let offered = xenstore::store().list(Tx::NONE, "device/vbd").unwrap_or_default();
    if offered.is_empty() {
        return found;
    }
    if let Err(errno) = blkfront::start() {
        println!("shell: no disks: {}", errno.text());
        return found;
    }
    let deadline_ns = time::now_ns() + CONNECT_NS;
    for number in offered.iter().filter_map(|number| number.parse().ok()) {
        let name = disk_name(number);
        match blkfront::wait_for(&name, deadline_ns) {
            Some(disk) => found.push((name.to_string(), disk)),
            None => println!("shell: {name} was not connected within 15 s"),
        }
    }
    found
}
