//! Disks: what a guest adds to dom0's own requests.
//!
//! Both ends are measured by the same code (`pvkernel_core::device::measure`), in the same machine, one
//! after the other.

use system_tests::dom0::Dom0;
use system_tests::machine::Failure;
use system_tests::session::Session;

use super::report::Report;
use super::{boot, number_after, watch};

/// Rows of the disk in memory.
pub const RAM: &[&str] = &[
    "ram_4k_dom0",
    "ram_4k_guest",
    "ram_4k_added",
    "ram_4k_many",
    "ram_read_share",
    "ram_read_rate",
    "ram_write_share",
    "ram_write_rate",
];
/// Rows of the virtio disk.
pub const VIRTIO: &[&str] =
    &["virtio_4k_dom0", "virtio_4k_share", "virtio_read_share", "virtio_write_share"];
/// Rows that repeat exactly.
pub const COUNTED: &[&str] = &["ram_4k_count", "ram_1m_count"];

/// Seconds a guest may take for its measurements.
const PATIENCE: u64 = 240;
/// How often everything is measured; the best of each counts, as the host has other things to do.
const ROUNDS: usize = 3;

/// What one end measured: time of a request, and rate, by name.
struct Figures(Vec<String>);

impl Figures {
    fn line(&self, name: &str) -> Result<&str, Failure> {
        let found = self.0.iter().find(|line| line.contains(name));
        found.map(String::as_str).ok_or_else(|| Failure(format!("no '{name}' in {:?}", self.0)))
    }

    fn get(&self, name: &str, key: &str) -> Result<f64, Failure> {
        let line = self.line(name)?;
        number_after(line, key).ok_or_else(|| Failure(format!("no {key} in '{line}'")))
    }
}

/// The best of several rounds.
fn best(rounds: &[Figures], name: &str, key: &str) -> Result<f64, Failure> {
    let values: Vec<f64> =
        rounds.iter().map(|round| round.get(name, key)).collect::<Result<_, _>>()?;
    let more_is_better = key == "mb_s=";
    let start = if more_is_better { 0.0 } else { f64::MAX };
    Ok(values.into_iter().fold(start, |a, b| if more_is_better { a.max(b) } else { a.min(b) }))
}

fn by_dom0(dom0: &mut Dom0<'_>, disk: &str, how: &str) -> Result<Figures, Failure> {
    dom0.ok(&format!("zl debug diskbench {disk} {how}")).map(|answer| Figures(answer.lines))
}

fn by_guest(dom0: &mut Dom0<'_>, disk: &str) -> Result<Figures, Failure> {
    dom0.ok(&format!("zl create blktest.cfg name=measured 'disk=[\"{disk}\"]' 'extra=\"bench\"'"))?;
    let said = watch(dom0, "measured", PATIENCE)?;
    match said.iter().any(|line| line.contains("ZENDO-TEST blktest SUCCESS")) {
        true => Ok(Figures(said)),
        false => Err(Failure(format!("the guest failed: {said:?}"))),
    }
}

/// The same requests by dom0 and by a guest.
struct Both {
    reads: Vec<Figures>,
    writes: Vec<Figures>,
    guest: Vec<Figures>,
}

impl Both {
    fn measure(dom0: &mut Dom0<'_>, own: &str, given: &str) -> Result<Both, Failure> {
        let mut both = Both { reads: Vec::new(), writes: Vec::new(), guest: Vec::new() };
        for _ in 0..ROUNDS {
            both.reads.push(by_dom0(dom0, own, "")?);
            both.writes.push(by_dom0(dom0, own, "write")?);
            both.guest.push(by_guest(dom0, given)?);
        }
        Ok(both)
    }
}

/// The disk in dom0's memory.
pub fn ram(session: &Session<'_>, report: &mut Report) -> Result<(), Failure> {
    let mut dom0 = boot(session, false)?;
    let both = Both::measure(&mut dom0, "ram:64M", "ram:64M,xvda,w")?;
    let own = best(&both.reads, "small-single", "ns=")? / 1000.0;
    let guest = best(&both.guest, "read small-single", "ns=")? / 1000.0;
    report.set("ram_4k_dom0", own);
    report.set("ram_4k_guest", guest);
    report.set("ram_4k_added", guest - own);
    report.set("ram_4k_many", best(&both.guest, "read small-many", "ns=")? / 1000.0);
    let read = best(&both.guest, "read large-many", "mb_s=")?;
    report.set("ram_read_rate", read);
    report.set("ram_read_share", read / best(&both.reads, "large-many", "mb_s=")?);
    let write = best(&both.guest, "write large-many", "mb_s=")?;
    report.set("ram_write_rate", write);
    report.set("ram_write_share", write / best(&both.writes, "large-many", "mb_s=")?);
    dom0.poweroff()
}

/// The disk of the emulated machine.
pub fn virtio(session: &Session<'_>, report: &mut Report) -> Result<(), Failure> {
    let mut dom0 = boot(session, false)?;
    let both = Both::measure(&mut dom0, "vdb", "phy:vdb,xvda,w")?;
    let own = best(&both.reads, "small-single", "ns=")?;
    report.set("virtio_4k_dom0", own / 1000.0);
    report.set("virtio_4k_share", own / best(&both.guest, "read small-single", "ns=")?);
    let share = |name: &str, own: &[Figures]| -> Result<f64, Failure> {
        let guest = best(&both.guest, &format!("{name} large-many"), "mb_s=")?;
        Ok(guest / best(own, "large-many", "mb_s=")?)
    };
    report.set("virtio_read_share", share("read", &both.reads)?);
    report.set("virtio_write_share", share("write", &both.writes)?);
    dom0.poweroff()
}

/// With QEMU's counter of instructions, which makes a nanosecond of each.
pub fn counted(session: &Session<'_>, report: &mut Report) -> Result<(), Failure> {
    let mut dom0 = boot(session, true)?;
    let guest = by_guest(&mut dom0, "ram:64M,xvda,w")?;
    report.set("ram_4k_count", guest.get("read small-single", "ns=")?);
    report.set("ram_1m_count", guest.get("read large-single", "ns=")?);
    dom0.poweroff()
}
