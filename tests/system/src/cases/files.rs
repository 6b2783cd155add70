//! Files on dom0's disk: what is written stays, whatever ends the machine.

use super::{check, Verdict};
use crate::devices::Disk;
use crate::disk_image;
use crate::dom0::Dom0;
use crate::machine::Failure;
use crate::session::Session;
use std::path::{Path, PathBuf};

/// Bytes of the disk of these tests.
const DISK_BYTES: u64 = 48 << 20;

/// A new image of this session's own, with dom0's folders.
///
/// # Errors
/// The host has no room for it.
pub fn fresh_image(session: &Session<'_>, name: &str) -> Result<PathBuf, Failure> {
    let folder = session.images.transcripts.join("disks");
    std::fs::create_dir_all(&folder)
        .map_err(|error| Failure(format!("{}: {error}", folder.display())))?;
    let path = folder.join(format!("{name}-{}-{}.img", session.hypervisor.name(), session.cpus));
    if path.exists() {
        std::fs::remove_file(&path)
            .map_err(|error| Failure(format!("{}: {error}", path.display())))?;
    }
    disk_image::make(&path, DISK_BYTES).map_err(Failure)?;
    Ok(path)
}

/// Boots dom0 with a disk.
///
/// # Errors
/// When the prompt does not come.
pub fn boot_with_disk<'a>(session: &'a Session<'a>, image: &Path) -> Result<Dom0<'a>, Failure> {
    let mut boot = session.images.dom0_boot(session.hypervisor, "")?;
    boot.disks.push(Disk::scratch(image));
    Dom0::from_machine(session.start(boot)?, session.hypervisor)
}

fn lists(lines: &[String], name: &str) -> bool {
    lines.iter().any(|line| line.split_whitespace().last() == Some(name))
}

/// The commands about files, with two machines on one disk, and a domain made of what lies on it.
pub fn on_the_disk(session: &Session<'_>) -> Verdict {
    let image = fresh_image(session, "files")?;
    let cfg = "name='disk'\nkernel='kernel'\nmemory=16\n";
    disk_image::put(&image, "/configs/disk.cfg", cfg.as_bytes()).map_err(Failure)?;
    let mut dom0 = boot_with_disk(session, &image)?;
    for command in [
        "cp hello /configs/kernel",
        "mkdir -p /images/a/b",
        "cp /configs/kernel /images/a/b",
        "mv /images/a/b/kernel /images/moved",
        "truncate -s 8M /images/sparse.img",
        "rm -r /images/a",
        "sync",
    ] {
        dom0.ok(command)?;
    }
    let listed = dom0.ok("ls -l /images")?;
    let right = lists(&listed.lines, "moved") && lists(&listed.lines, "sparse.img");
    check(right && listed.lines.len() == 2, || format!("listed are {:?}", listed.lines))?;
    dom0.ok("zl create /configs/disk.cfg")?;
    dom0.until_gone("disk", 10)?;
    let said = dom0.ok("zl logs disk")?;
    check(said.lines.iter().any(|line| line.contains("hello")), || {
        format!("a domain of the disk printed {:?}", said.lines)
    })?;
    dom0.poweroff()?;
    disk_image::check(&image).map_err(Failure)?;
    let kernel = std::fs::read(session.images.guests.join("hello"));
    let kernel = kernel.map_err(|error| Failure(format!("hello: {error}")))?;
    let moved = disk_image::get(&image, "/images/moved").map_err(Failure)?;
    // The archive has of a program what is loaded, with another header.
    let header = 64;
    let same = moved.len() > header && moved.get(header..) == kernel.get(header..moved.len());
    check(same, || format!("{} bytes came back, not the same", moved.len()))?;
    let mut dom0 = boot_with_disk(session, &image)?;
    let listed = dom0.ok("ls /configs")?;
    check(lists(&listed.lines, "kernel"), || format!("after a boot: {:?}", listed.lines))?;
    dom0.poweroff()
}

/// What cannot be done is one line, and a full disk loses nothing.
pub fn mistakes(session: &Session<'_>) -> Verdict {
    let image = fresh_image(session, "mistakes")?;
    let mut dom0 = boot_with_disk(session, &image)?;
    for (command, says) in [
        ("cat /nothing", "no such file"),
        ("rm /images", "is a folder"),
        ("mkdir /images", "exists already"),
        ("cp hello /nowhere/hello", "no such file or folder"),
        ("ls images", "paths begin with '/'"),
        ("cat /images", "is a folder"),
        ("zl create /configs/none.cfg", "no file '/configs/none.cfg' on the disk"),
        ("format-disk", "has a file system"),
    ] {
        let line = dom0.refused(command)?;
        check(line.contains(says), || format!("`{command}` is refused with '{line}'"))?;
    }
    let mut copies = 0;
    let full = loop {
        let answer = dom0.run(&format!("cp selftest /images/copy-{copies}"))?;
        if answer.status != 0 {
            break answer.lines.join(" ");
        }
        copies += 1;
        check(copies < 500, || "a disk of 48 MiB never filled up".to_string())?;
    };
    check(full.contains("the disk is full"), || format!("a full disk says '{full}'"))?;
    let listed = dom0.ok("ls /images")?;
    check(listed.lines.len() == copies, || format!("{copies} copies, {:?}", listed.lines))?;
    dom0.poweroff()?;
    disk_image::check(&image).map_err(Failure)
}

/// A machine that just stops: the next mount replays the journal, and what was synced is there.
pub fn power_failure(session: &Session<'_>) -> Verdict {
    let image = fresh_image(session, "power")?;
    let mut dom0 = boot_with_disk(session, &image)?;
    dom0.ok("cp hello /images/kept")?;
    dom0.ok("sync")?;
    for index in 0..5 {
        dom0.ok(&format!("cp hello /images/late-{index}"))?;
    }
    dom0.machine().kill();
    drop(dom0);
    let mut dom0 = boot_with_disk(session, &image)?;
    let listed = dom0.ok("ls /images")?;
    check(lists(&listed.lines, "kept"), || format!("after the failure: {:?}", listed.lines))?;
    dom0.poweroff()?;
    disk_image::check(&image).map_err(Failure)
}
