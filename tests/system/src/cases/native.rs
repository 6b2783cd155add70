//! The teaching kernel without a hypervisor: QEMU loads it in Zendo's place.

use std::fs;
use std::time::Duration;

use super::programs::{judge, understands, uses_devices, PROMPT};
use super::{check, Verdict};
use crate::devices::{Disk, Nic};
use crate::disk_image;
use crate::exit_code::End;
use crate::machine::Failure;
use crate::qemu::{Boot, Module};
use crate::screen::visible_lines;
use crate::session::{Session, Watched};
use crate::verdict::{read_report, Status, MARKER};

const WITHIN: Duration = Duration::from_secs(120);
const END_WITHIN: Duration = Duration::from_secs(15);

/// The kinds of machine it must run on: chip set, processor, memory.
const MACHINES: [(&str, &str, u32); 5] = [
    ("pc", "max", 32),
    ("pc", "qemu64", 128),
    ("pc", "max", 4096),
    ("q35", "max", 128),
    ("q35", "qemu64", 4096),
];

/// A machine with the probe; its own words come last, where QEMU takes them for the others' place.
fn boot(session: &Session<'_>, machine: (&str, &str, u32), words: &str) -> Boot {
    let (chip_set, processor, memory_mib) = machine;
    let mut boot =
        Boot::new(&session.images.guests.join("native-probe"), &format!("exit=debug {words}"));
    boot.memory_mib = memory_mib;
    // Any file will do for a disk of the contract's tests.
    boot.modules = vec![Module::new(&session.images.archive, "")];
    boot.extra = ["-machine", chip_set, "-cpu", processor].map(str::to_string).to_vec();
    boot
}

/// Reads the probe's verdict, and that it switched the machine off.
fn succeeds(mut watched: Watched<'_>, kind: &str) -> Verdict {
    let start = format!("{MARKER} native-probe ");
    let before = watched.machine.expect(&start, WITHIN)?;
    let rest = watched.machine.expect("\n", END_WITHIN)?;
    let lines = visible_lines(format!("{before}{start}{rest}").as_bytes());
    let report = read_report(&lines, Some("native-probe"));
    check(report.status == Status::Success, || format!("{kind}: {}", report.detail))?;
    let end = watched.machine.wait_end(END_WITHIN)?;
    check(end == End::Poweroff, || format!("{kind}: a verdict, and then: {end}"))
}

/// The contract of the platform is kept on every kind of machine.
pub fn contract(session: &Session<'_>) -> Verdict {
    for machine in MACHINES {
        // A module of the size of the boot archive does not leave enough of the smallest machine.
        let mut boot = boot(session, machine, "");
        if machine.2 < 64 {
            boot.modules.clear();
        }
        succeeds(session.start(boot)?, &format!("{machine:?}"))?;
    }
    Ok(())
}

const SECTOR: usize = 512;
/// Sectors that are filled before, and as many that the probe writes behind them.
const FILLED: usize = 2048;

const fn pattern(sector: usize) -> u8 {
    (sector % 251) as u8
}

/// Disk, card and console work with either chip set: transfers, interrupts, and what is typed.
pub fn devices(session: &Session<'_>) -> Verdict {
    for chip_set in ["pc", "q35"] {
        let path = session.images.transcripts.join(format!("native-{chip_set}.img"));
        let filled: Vec<u8> = (0..FILLED).flat_map(|sector| [pattern(sector); SECTOR]).collect();
        let image = [filled.clone(), vec![0; FILLED * SECTOR]].concat();
        let io = |error: std::io::Error| Failure(format!("{}: {error}", path.display()));
        fs::create_dir_all(&session.images.transcripts).map_err(io)?;
        fs::write(&path, image).map_err(io)?;
        let mut boot = boot(session, (chip_set, "max", 128), "devices");
        boot.disks = vec![Disk::scratch(&path)];
        boot.nics = vec![Nic::uplink(Vec::new())];
        let mut watched = session.start(boot)?;
        watched.machine.expect("native-probe: type a line", WITHIN)?;
        let line = "0123456789".repeat(20);
        watched.machine.send(&format!("{line}\r"))?;
        watched.machine.expect(&format!("native-probe: typed '{line}'"), END_WITHIN)?;
        succeeds(watched, chip_set)?;
        let found = fs::read(&path).map_err(io)?;
        fs::remove_file(&path).map_err(io)?;
        let written: Vec<u8> = (0..FILLED).flat_map(|sector| [!pattern(sector); SECTOR]).collect();
        check(found == [filled, written].concat(), || {
            format!("{chip_set}: the disk does not have what was written")
        })?;
    }
    Ok(())
}

/// A machine with the kernel that has processes, and its programs.
fn shell(session: &Session<'_>, chip_set: &str, words: &str) -> Boot {
    let kernel = session.images.guests.join("shell-native");
    let mut boot = Boot::new(&kernel, &format!("exit=debug {words}"));
    boot.memory_mib = 128;
    boot.modules = vec![Module::new(&session.images.programs, "")];
    boot.extra = ["-machine", chip_set].map(str::to_string).to_vec();
    boot
}

/// The shell understands what it does elsewhere, a disk's files stay, the network answers, and `poweroff`
/// ends the machine.
pub fn shell_and_disk(session: &Session<'_>) -> Verdict {
    let path = session.images.transcripts.join("native-shell.img");
    // Left by a run that was ended.
    let _ = fs::remove_file(&path);
    fs::create_dir_all(&session.images.transcripts).map_err(|error| Failure(error.to_string()))?;
    disk_image::make(&path, 32 << 20).map_err(Failure)?;
    for (chip_set, word) in [("pc", "first"), ("q35", "second")] {
        let mut boot = shell(session, chip_set, "");
        boot.disks = vec![Disk::scratch(&path)];
        boot.nics = vec![Nic::uplink(Vec::new())];
        let mut watched = session.start(boot)?;
        watched.machine.expect(PROMPT, WITHIN)?;
        understands(&mut watched.machine)?;
        uses_devices(&mut watched.machine, "vda", word)?;
        watched.machine.send("poweroff\r")?;
        let end = watched.machine.wait_end(END_WITHIN)?;
        check(end == End::Poweroff, || format!("{chip_set}: poweroff, and then: {end}"))?;
    }
    disk_image::check(&path).map_err(Failure)?;
    let words = disk_image::get(&path, "/words").map_err(Failure)?;
    let _ = fs::remove_file(&path);
    check(words == b"first\nsecond\n", || format!("the disk has {words:?}"))
}

/// `usertests` and random system calls, without a hypervisor; then with every trick turned off.
pub fn usertests(session: &Session<'_>) -> Verdict {
    for words in ["", "tricks=eager-fpu,no-answers"] {
        let mut watched = session.start(shell(session, "pc", words))?;
        watched.machine.expect(PROMPT, WITHIN)?;
        judge(session, &mut watched.machine, "usertests")?;
        judge(session, &mut watched.machine, "fuzz seed=7 calls=3000")?;
    }
    Ok(())
}

/// From the first instruction of the kernel to the first of a program that the shell runs.
const SHELL_BUDGET_INSTRUCTIONS: u64 = 30_000_000;

/// The way to the shell stays within its instructions.
pub fn instructions(session: &Session<'_>) -> Verdict {
    let mut boot = shell(session, "pc", "-- uptime");
    boot.icount = true;
    let mut watched = session.start(boot)?;
    // With one tick for each instruction a millisecond is a million of them.
    watched.machine.expect(" up 0 days 00:00:00.", WITHIN)?;
    let thousandths = watched.machine.expect("\n", END_WITHIN)?;
    let count = thousandths.trim().parse::<u64>().map(|thousandths| (thousandths + 1) * 1_000_000);
    let count = count.map_err(|_| Failure(format!("'{thousandths}' is no part of a second")))?;
    session.note(format!("less than {} million instructions", count / 1_000_000));
    check(count <= SHELL_BUDGET_INSTRUCTIONS, || {
        format!("{count} instructions, {SHELL_BUDGET_INSTRUCTIONS} are allowed")
    })
}

/// What must not be done ends the machine with the exception that was meant, and says so.
pub fn crashes(session: &Session<'_>) -> Verdict {
    let cases = [
        ("overflow", "unhandled exception 8 #DF double fault in kernel mode"),
        ("text", "unhandled exception 14 #PF page fault in kernel mode, error 0x3,"),
        ("data", "unhandled exception 14 #PF page fault in kernel mode, error 0x11,"),
        ("null", "unhandled exception 14 #PF page fault in kernel mode, error 0x0,"),
        ("read-user", "unhandled exception 14 #PF page fault in kernel mode, error 0x1,"),
        ("run-user", "unhandled exception 14 #PF page fault in kernel mode, error 0x11,"),
    ];
    for (word, text) in cases {
        let boot = boot(session, ("pc", "max", 64), &format!("crash={word}"));
        let mut watched = session.start(boot)?;
        watched.machine.expect(text, WITHIN)?;
        let end = watched.machine.wait_end(END_WITHIN)?;
        check(end == End::Crash, || format!("crash={word} ended with: {end}"))?;
    }
    Ok(())
}
