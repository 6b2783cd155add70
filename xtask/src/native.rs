//! `run --native`: the teaching kernel in QEMU without a hypervisor, its shell on this terminal.
//!
//! QEMU loads the kernel where it otherwise loads Zendo, and the archive of programs as its module.
//! The machine has one CPU, a disk that stays from run to run, and a card that leads out.

use std::fs;

use system_tests::devices::{Disk, Nic};
use system_tests::qemu::{Boot, Module, Serial};

use crate::args::Args;
use crate::build::{self, Programs};
use crate::devices::Devices;
use crate::paths::Paths;
use crate::run::{interact, ESCAPE};
use crate::{setup, Result};

/// Name and size of the disk that is made when it is not there.
const OWN_DISK: (&str, u64) = ("native.img", 64 << 20);

/// The verb with its flag.
pub fn run(args: &mut Args) -> Result<()> {
    let memory_mib = args.number("--mem", 128, 32, 4096)?;
    let words = args.value("--cmdline")?.unwrap_or_default();
    let icount = args.flag("--icount");
    let q35 = args.flag("--q35");
    let devices = Devices::take(args)?;
    let programs = Programs::take(args);
    args.finish()?;
    let paths = Paths::find()?;
    setup::ensure_qemu()?;
    let built = build::native(&paths, programs)?;
    let mut boot = Boot::new(&built.kernel, &words);
    boot.modules = vec![Module::new(&built.programs, "")];
    (boot.memory_mib, boot.icount) = (memory_mib, icount);
    boot.serial = Serial::Terminal { escape: ESCAPE };
    if q35 {
        boot.extra = ["-machine", "q35"].map(str::to_string).to_vec();
    }
    boot.disks = disks(&devices, &paths)?;
    if devices.has_net() {
        boot.nics.push(Nic::uplink(Vec::new()));
    }
    announce(&boot);
    interact(&boot)
}

/// The machine's own disk, if it is wanted, and the others.
fn disks(devices: &Devices, paths: &Paths) -> Result<Vec<Disk>> {
    let (name, bytes) = OWN_DISK;
    fs::create_dir_all(paths.images())
        .map_err(|error| format!("{}: {error}", paths.images().display()))?;
    let own = devices.own_disk(&paths.images().join(name), bytes)?;
    let others = devices.further().iter().map(|file| Disk::kept(file));
    Ok(own.into_iter().chain(others).collect())
}

fn announce(boot: &Boot) {
    println!("{}\n", boot.shell_line());
    println!("leave: type `poweroff` at the prompt, or press Ctrl-X and then x");
    println!("more:  `ls /bin` at the prompt; Ctrl-X c is QEMU's own monitor and back,");
    println!("       Ctrl-X Ctrl-X sends one Ctrl-X\n");
}
