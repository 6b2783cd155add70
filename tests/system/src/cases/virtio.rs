//! Dom0's own disks and network cards.

use std::fs;
use std::path::{Path, PathBuf};

use super::{check, leaves_nothing, Verdict};
use crate::devices::{Disk, Nic, MANAGEMENT_MAC, UPLINK_MAC};
use crate::dom0::Dom0;
use crate::machine::Failure;
use crate::session::Session;

/// Bytes of a disk, and of what dom0 hashes and overwrites of it.
const DISK: usize = 16 << 20;
const TESTED: usize = 8 << 20;

/// What is on the host's files dom0 reads, and what dom0 writes is found there; a read-only disk stays as
/// it is; cards that share lines with disks are up; nothing is left behind by transfers.
pub fn devices(session: &Session<'_>) -> Verdict {
    let [first, second] = ["vda", "vdb"].map(|name| Image::make(session, name));
    let (first, second) = (first?, second?);
    let mut boot = session.images.dom0_boot(session.hypervisor, "")?;
    let read_only = Disk { read_only: true, ..Disk::scratch(&second.path) };
    boot.disks = vec![Disk::scratch(&first.path), read_only];
    boot.nics = vec![Nic::uplink(Vec::new()), Nic { forwards: Vec::new(), ..Nic::management(0) }];
    let mut dom0 = Dom0::from_machine(session.start(boot)?, session.hypervisor)?;
    session.note(format!("{:.2} s to the prompt", dom0.boot_took.as_secs_f64()));
    listed(&mut dom0)?;

    for (name, image) in [("vda", &first), ("vdb", &second)] {
        let said = dom0.ok(&format!("disk-test {name}"))?.lines.join("\n");
        let wanted = format!("hash={:016x}", hash(&image.bytes));
        check(said.contains(&wanted), || format!("{name}: no {wanted} in\n{said}"))?;
    }
    for name in ["vda", "ram:8"] {
        let mut last = String::new();
        leaves_nothing(&mut dom0, "writing to a disk", |dom0| {
            let said = dom0.ok(&format!("disk-test -w {name}"))?.lines;
            last = said.last().cloned().unwrap_or_default();
            let kept = said.iter().any(|line| line.contains("wrong_words=0"));
            check(kept, || format!("disk-test -w {name} printed\n{}", said.join("\n")))
        })?;
        session.note(last);
    }
    let refused = dom0.run("disk-test -w vdb")?;
    let says_why = refused.lines.iter().any(|line| line.contains("Write at sector 0: ReadOnly"));
    check(says_why && refused.status != 0, || format!("a read-only disk: {refused:?}"))?;
    dom0.poweroff()?;

    first.holds(&written())?;
    second.holds(&second.bytes)
}

/// `devices` shows all of them, in the order of their slots.
fn listed(dom0: &mut Dom0<'_>) -> Verdict {
    let lines = dom0.ok("devices")?.lines;
    let wanted = [
        ["vda ", "16 MiB, writable, flush, discard", "line "].as_slice(),
        &["vdb ", "16 MiB, read-only", "line "],
        &["net0 ", UPLINK_MAC, "uplink", "link up"],
        &["net1 ", MANAGEMENT_MAC, "management", "link up"],
    ];
    let all = |(line, words): (&String, &&[&str])| words.iter().all(|word| line.contains(word));
    let same = lines.len() == wanted.len() && lines.iter().zip(&wanted).all(all);
    check(same, || format!("devices printed\n{}", lines.join("\n")))
}

/// A disk's file, gone when the test ends.
struct Image {
    path: PathBuf,
    bytes: Vec<u8>,
}

impl Image {
    /// Makes a file with contents of its own.
    fn make(session: &Session<'_>, name: &str) -> Result<Image, Failure> {
        let folder = &session.images.transcripts;
        let path =
            folder.join(format!("{}-{name}-{}.img", session.hypervisor.name(), session.cpus));
        let seed = name.bytes().fold(1_u64, |seed, byte| seed << 8 | u64::from(byte));
        let bytes = words(DISK, |at| at.wrapping_mul(0x2545_f491_4f6c_dd1d) ^ seed);
        let written = fs::create_dir_all(folder).and_then(|()| fs::write(&path, &bytes));
        written.map_err(|error| failure(&path, &error))?;
        Ok(Image { path, bytes })
    }

    /// Whether the file begins with these bytes, and goes on as it was made.
    fn holds(&self, start: &[u8]) -> Verdict {
        let now = fs::read(&self.path).map_err(|error| failure(&self.path, &error))?;
        let rest = self.bytes.get(start.len()..).unwrap_or_default();
        let expected = start.iter().chain(rest);
        let wrong = now.iter().zip(expected).position(|(is, should)| is != should);
        let (is, should) = (now.len(), self.bytes.len());
        check(wrong.is_none() && is == should, || {
            format!("{}: {is} of {should} bytes, byte {wrong:?} is wrong", self.path.display())
        })
    }
}

impl Drop for Image {
    fn drop(&mut self) {
        // A file that stays is overwritten by the next run.
        let _ = fs::remove_file(&self.path);
    }
}

fn failure(path: &Path, error: &std::io::Error) -> Failure {
    Failure(format!("{}: {error}", path.display()))
}

fn words(bytes: usize, word: impl Fn(u64) -> u64) -> Vec<u8> {
    (0..bytes as u64 / 8).flat_map(|at| word(at).to_le_bytes()).collect()
}

/// What `disk-test -w` leaves on a disk.
fn written() -> Vec<u8> {
    words(TESTED, |at| (at + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15))
}

/// What `disk-test` prints: FNV-1a over the first words.
fn hash(bytes: &[u8]) -> u64 {
    let words = bytes.chunks_exact(8).take(TESTED / 8);
    words.fold(0xcbf2_9ce4_8422_2325, |hash: u64, word| {
        (hash ^ u64::from_le_bytes(word.try_into().unwrap_or_default()))
            .wrapping_mul(0x100_0000_01b3)
    })
}
