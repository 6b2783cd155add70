//! `bench io`: what disks and networks of guests give, beside what is required.
//!
//! Times are wall time under TCG with 2 CPUs, so a busy host makes all of them worse; rates are
//! compared with dom0's own in the same machine. Where one CPU runs everything by QEMU's counter of
//! instructions, the figure repeats exactly. How each is measured is in `disks`, `nets` and `whole`.

mod disks;
mod nets;
mod report;
mod rows;
mod whole;

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use system_tests::devices::{Disk, Nic};
use system_tests::dom0::Dom0;
use system_tests::machine::Failure;
use system_tests::qemu::Hypervisor;
use system_tests::session::{Images, Session};

use crate::args::Args;
use crate::bench::readme;
use crate::build::Programs;
use crate::paths::Paths;
use crate::{test, Result};
use report::Report;

/// CPUs of the machine that is measured.
const CPUS: u32 = 2;
/// Memory of dom0: the RAM disks are in it.
const DOM0_MIB: u32 = 256;
/// Bytes of the virtio disk.
const DISK_BYTES: u64 = 64 << 20;

/// A group of rows that one machine measures.
struct Group {
    rows: &'static [&'static str],
    run: fn(&Session<'_>, &mut Report) -> std::result::Result<(), Failure>,
    cpus: u32,
}

const GROUPS: &[Group] = &[
    Group { rows: disks::RAM, run: disks::ram, cpus: CPUS },
    Group { rows: disks::VIRTIO, run: disks::virtio, cpus: CPUS },
    Group { rows: disks::COUNTED, run: disks::counted, cpus: 1 },
    Group { rows: nets::PINGS, run: nets::pings, cpus: CPUS },
    Group { rows: nets::LARGE, run: nets::large, cpus: CPUS },
    Group { rows: nets::SMALL, run: nets::small, cpus: CPUS },
    Group { rows: whole::CREATION, run: whole::creation, cpus: CPUS },
    Group { rows: whole::IDLE, run: whole::idle, cpus: CPUS },
];

/// The verb, behind `bench io`.
pub fn run(args: &mut Args) -> Result<()> {
    let (programs, update) = (Programs::take(args), args.flag("--readme"));
    let filter = args.value("--only")?.unwrap_or_default();
    args.finish()?;
    let paths = Paths::find()?;
    let images = test::prepare(&paths, &[Hypervisor::Zendo], programs)?;
    let mut report = Report::default();
    let wanted = |group: &&Group| group.rows.iter().any(|row| row.contains(&filter));
    for group in GROUPS.iter().filter(wanted) {
        measure(group, &images, &mut report);
    }
    println!("\n{}", report.table());
    let folder = paths.target.join("bench");
    fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let file = folder.join("io.csv");
    fs::write(&file, report.csv()).map_err(|error| format!("{}: {error}", file.display()))?;
    println!("{}", file.display());
    if update {
        update_readme(&paths, &report)?;
    }
    match report.missed() {
        missed if missed.is_empty() => Ok(()),
        missed => Err(missed.join("; ")),
    }
}

fn measure(group: &Group, images: &Images, report: &mut Report) {
    let started = Instant::now();
    let label = format!("bench-io-{}", group.rows.first().unwrap_or(&"nothing"));
    let session = Session::new(images, Hypervisor::Zendo, group.cpus, &label);
    let done = (group.run)(&session, report);
    println!("{}: {:.1} s", group.rows.join(" "), started.elapsed().as_secs_f64());
    let why = done.err().map_or("it was not reported".to_string(), |failure| {
        let words: Vec<String> =
            failure.to_string().split_whitespace().map(str::to_string).collect();
        words.join(" ").chars().take(300).collect()
    });
    report.miss(group.rows, &why);
}

/// Boots dom0 with memory for RAM disks, a disk for guests and a network.
fn boot<'a>(session: &'a Session<'a>, icount: bool) -> std::result::Result<Dom0<'a>, Failure> {
    let mut boot = session.images.dom0_boot(session.hypervisor, "")?;
    let usual = format!("dom0_mem={}M", system_tests::session::DOM0_MIB);
    boot.arguments = boot.arguments.replace(&usual, &format!("dom0_mem={DOM0_MIB}M"));
    boot.memory_mib = 1024;
    boot.icount = icount;
    if !icount {
        // What comes from outside the machine would make counts differ.
        boot.disks =
            vec![Disk::scratch(&image(session, "vda")?), Disk::scratch(&image(session, "vdb")?)];
        boot.nics = vec![Nic::uplink(Vec::new())];
    }
    Dom0::from_machine(session.start(boot)?, session.hypervisor)
}

/// What a guest says until it ends. dom0 waits for its words and does nothing else: a command that
/// asks again and again would take the time of what is measured.
fn watch(
    dom0: &mut Dom0<'_>,
    name: &str,
    seconds: u64,
) -> std::result::Result<Vec<String>, Failure> {
    let said = dom0.run_within(&format!("zl logs -f {name}"), Duration::from_secs(seconds))?;
    dom0.until_gone(name, seconds)?;
    Ok(said.lines)
}

/// A disk full of something, so that no hole of a sparse file is read.
fn image(session: &Session<'_>, name: &str) -> std::result::Result<PathBuf, Failure> {
    let folder = session.images.transcripts.join("disks");
    let path = folder.join(format!("bench-io-{name}.img"));
    let contents = vec![0x5a; DISK_BYTES as usize];
    fs::create_dir_all(&folder)
        .and_then(|()| fs::write(&path, contents))
        .map_err(|error| Failure(format!("{}: {error}", path.display())))?;
    Ok(path)
}

/// The number behind `key=` in a line.
fn number_after(line: &str, key: &str) -> Option<f64> {
    let rest = line.split_whitespace().find_map(|word| word.strip_prefix(key))?;
    rest.parse().ok()
}

/// Where README.md has the table.
const MARKS: [&str; 2] =
    ["<!-- bench io: written by `cargo xtask bench io --readme` -->\n", "<!-- end of bench io -->"];

fn update_readme(paths: &Paths, report: &Report) -> Result<()> {
    let path = paths.root.join("README.md");
    let text = fs::read_to_string(&path).map_err(|error| format!("README.md: {error}"))?;
    let text = readme::replaced(&text, MARKS, &report.markdown())?;
    fs::write(&path, text).map_err(|error| format!("README.md: {error}"))
}
