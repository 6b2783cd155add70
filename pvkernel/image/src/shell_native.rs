//! `shell-native`: the teaching kernel on the bare machine, with programs from the boot module.
//!
//! Words of the command line: `init=PATH` names the first program, `ip=`, `gateway=` and `dns=` an address, `tricks=` and `exit=` are read by the
//! backend, `tell-start` has it said how many ticks of the time stamp counter lie between the first
//! instruction and the shell's prompt, and what stands behind `--` are the first program's arguments.
#![cfg_attr(target_os = "none", no_std)]
#![no_main]
#![deny(unsafe_code)]

extern crate alloc;

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU64, Ordering};

use pvkernel_core::device::block::BlockDevice;
use pvkernel_core::device::net::NetDevice;
use pvkernel_core::net::{Config, Stack};
use pvkernel_core::os::{self, PowerEnd, Setup};
use pvkernel_native::boot::BootInfo;
use pvkernel_native::{console, power, println, thread, time, virtio};

pvkernel_native::entry!(run);

/// The first program, if the command line names none.
const INIT: &str = "/bin/init";
/// The time stamp counter at the first instruction, as long as it is to be told how long the start took.
static START_TSC: AtomicU64 = AtomicU64::new(0);

fn run(boot: &'static BootInfo) -> ! {
    if boot.args().has("tell-start") {
        START_TSC.store(boot.entry_tsc, Ordering::Relaxed);
    }
    let devices = virtio::probe();
    devices.unusable.iter().for_each(|text| println!("shell: {text}"));
    let setup = Setup {
        archive: boot.ramdisk,
        disks: named(devices.disks),
        make: Some(pvkernel_ext4::mount),
        wait_input: Some(wait_input),
        power: end,
        network: Some(Box::new(move || network(boot, devices.cards))),
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

/// Disks in the order of their slots: `vda`, `vdb` and so on.
fn named(disks: Vec<(String, Arc<dyn BlockDevice>)>) -> Vec<(String, Arc<dyn BlockDevice>)> {
    let named = ('a'..='z').zip(disks);
    named.map(|(letter, (_, disk))| (format!("vd{letter}"), disk)).collect()
}

/// IP on the first card. The address is `ip=` of the command line, or DHCP's.
fn network(
    boot: &'static BootInfo,
    cards: Vec<(String, Arc<dyn NetDevice>)>,
) -> Option<&'static Stack> {
    let (_, card) = cards.into_iter().next()?;
    let args = boot.args();
    let [ip, gateway, dns] = ["ip", "gateway", "dns"].map(|word| args.value(word));
    let config = Config::from_words(ip, gateway, dns);
    let config = config.map_err(|why| println!("shell: no network: {why}")).ok()?;
    let card: &'static Arc<dyn NetDevice> = Box::leak(Box::new(card));
    let stack = Stack::start(thread::kernel(), card.as_ref(), config, time::tsc());
    stack.map_err(|error| println!("shell: no network: {error}")).ok()
}
