//! Disks of domains that are files on dom0's disk: what is written stays and is seen from outside, a
//! file in use is nobody else's, and a full disk, a kill or a power failure leaves the file system clean.

use super::block::Setting;
use super::files::{boot_with_disk, fresh_image};
use super::{check, leaves_nothing, Verdict};
use crate::disk_image;
use crate::machine::Failure;
use crate::session::Session;
use std::path::Path;

/// The usual disk.
const DISK: &str = "file:/images/a.img,xvda,w";
/// Bytes of a file that is no whole number of blocks.
const ODD_BYTES: usize = (3 << 20) + 1536;
/// Domains that are killed at work.
const KILLS: usize = 20;

/// What `blktest` writes with a seed.
fn pattern(seed: u64, bytes: usize) -> Vec<u8> {
    let word = |place: u64| {
        let mixed = (place + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ seed;
        (mixed ^ (mixed >> 29)).to_le_bytes()
    };
    (0..bytes as u64 / 8).flat_map(word).collect()
}

fn holds(image: &Path, name: &str, seed: u64, bytes: usize) -> Verdict {
    let contents = disk_image::get(image, name).map_err(Failure)?;
    check(contents == pattern(seed, bytes), || {
        format!("{name} on the host: {} bytes, not those that were written", contents.len())
    })
}

/// What one domain wrote the next one reads, also read-only by two at once, and the host finds it.
pub fn contents_stay(session: &Session<'_>) -> Verdict {
    let image = fresh_image(session, "file-disk")?;
    let mut setting = Setting::of(boot_with_disk(session, &image)?);
    setting.dom0.ok("truncate -s 8M /images/a.img")?;
    setting.dom0.ok(&format!("truncate -s {ODD_BYTES} /images/odd.img"))?;
    setting.run("first", &[DISK], "info random=300 write=7 verify=7")?;
    setting.run("second", &[DISK], "verify=7 random=300 write=9 flush verify=9")?;
    let odd = ["file:/images/odd.img,xvda,w"];
    setting.run("third", &odd, "random=300 write=3 verify=3")?;
    setting.run("fourth", &odd, "verify=3 flush")?;
    setting.create("reader", &["file:/images/a.img,xvda,r"], "verify=9 watch")?;
    setting.says("reader", "verify ok")?;
    setting.run("fifth", &["file:/images/a.img,xvda,r"], "refused verify=9")?;
    setting.dom0.ok("zl destroy reader")?;
    setting.dom0.ok("cp /images/a.img /images/copy.img")?;
    setting.end()?;
    disk_image::check(&image).map_err(Failure)?;
    holds(&image, "/images/a.img", 9, 8 << 20)?;
    holds(&image, "/images/copy.img", 9, 8 << 20)?;
    holds(&image, "/images/odd.img", 3, ODD_BYTES)
}

/// A file in use is neither given to others nor changed; what is no disk is refused in one line.
pub fn mistakes(session: &Session<'_>) -> Verdict {
    let image = fresh_image(session, "file-disk-mistakes")?;
    let mut setting = Setting::of(boot_with_disk(session, &image)?);
    setting.dom0.ok("truncate -s 1M /images/a.img")?;
    setting.dom0.ok("truncate -s 0 /images/empty")?;
    setting.create("writer", &[DISK], "write=4 watch")?;
    setting.says("writer", "write ok")?;
    let create = |disk: &str| format!("zl create blktest.cfg name=two 'disk=[\"{disk}\"]'");
    for (command, says) in [
        (create(DISK), "is disk xvda of domain 1"),
        (create("file:/images//a.img,xvda,w"), "in use as the disk of a domain"),
        (create("file:/images//a.img,xvda,r"), "in use as the disk of a domain"),
        (create("file:/images/none,xvda,w"), "no such file"),
        (create("file:/images,xvda,w"), "is a folder"),
        (create("file:/images/empty,xvda,w"), "is empty"),
        (create("phy:vda,xvda,w"), "holds dom0's files"),
        ("rm /images/a.img".to_string(), "in use as the disk"),
        ("rm -r /images".to_string(), "in use as the disk"),
        ("mv /images/a.img /images/b.img".to_string(), "in use as the disk"),
        ("truncate -s 2M /images/a.img".to_string(), "in use as the disk"),
        ("format-disk -f".to_string(), "are disks of domains"),
    ] {
        let line = setting.dom0.refused(&command)?;
        check(line.contains(says), || format!("`{command}` is refused with '{line}'"))?;
        setting.dom0.until_gone("two", 5)?;
    }
    setting.dom0.ok("cp /images/a.img /images/copy.img")?;
    setting.dom0.ok("zl destroy writer")?;
    setting.dom0.ok("mv /images/a.img /images/b.img")?;
    setting.run("again", &["file:/images/b.img,xvda,w"], "verify=4")?;
    setting.dom0.ok("truncate -s 512K /images/b.img")?;
    setting.end()?;
    disk_image::check(&image).map_err(Failure)?;
    holds(&image, "/images/copy.img", 4, 1 << 20)?;
    holds(&image, "/images/b.img", 4, 512 << 10)
}

/// A file that has more bytes than the disk has room: the domain gets errors, and nobody loses a byte.
pub fn full(session: &Session<'_>) -> Verdict {
    let image = fresh_image(session, "file-disk-full")?;
    let mut setting = Setting::of(boot_with_disk(session, &image)?);
    setting.dom0.ok("truncate -s 4M /images/a.img")?;
    setting.dom0.ok("truncate -s 64M /images/large.img")?;
    setting.run("small", &[DISK], "write=5")?;
    setting.create("large", &["file:/images/large.img,xvda,w"], "write=1")?;
    setting.says("large", "FAILURE write=1")?;
    setting.dom0.until_gone("large", 10)?;
    let refused = setting.dom0.refused("cp selftest /images/more")?;
    check(refused.contains("the disk is full"), || format!("a copy says '{refused}'"))?;
    setting.run("small", &[DISK], "verify=5 write=6 verify=6")?;
    setting.dom0.ok("rm /images/large.img")?;
    setting.dom0.ok("cp selftest /images/more")?;
    setting.end()?;
    disk_image::check(&image).map_err(Failure)?;
    holds(&image, "/images/a.img", 6, 4 << 20)
}

/// Domains are destroyed in the middle of their requests; nothing of them stays.
pub fn killed_at_work(session: &Session<'_>) -> Verdict {
    let image = fresh_image(session, "file-disk-killed")?;
    let mut setting = Setting::of(boot_with_disk(session, &image)?);
    setting.dom0.ok("truncate -s 8M /images/a.img")?;
    leaves_nothing(&mut setting.dom0, "domains with a file killed at work", |dom0| {
        for number in 0..KILLS {
            let options = format!("name=victim 'disk=[\"{DISK}\"]' 'extra=\"forever\"'");
            dom0.ok(&format!("zl create blktest.cfg {options}"))?;
            dom0.ok(&format!("sleep 0.{}", 1 + number % 4))?;
            dom0.ok("zl destroy victim")?;
        }
        Ok(())
    })?;
    setting.run("after", &[DISK], "write=3 verify=3")?;
    setting.end()?;
    disk_image::check(&image).map_err(Failure)?;
    holds(&image, "/images/a.img", 3, 8 << 20)
}

/// A machine that just stops: what a domain wrote and flushed is there after the next mount.
pub fn power_failure(session: &Session<'_>) -> Verdict {
    let image = fresh_image(session, "file-disk-power")?;
    let mut setting = Setting::of(boot_with_disk(session, &image)?);
    setting.dom0.ok("truncate -s 8M /images/a.img")?;
    // `write` ends with a flush.
    setting.create("cut", &[DISK], "write=8 forever")?;
    setting.says("cut", "write ok")?;
    setting.dom0.machine().kill();
    drop(setting);
    let mut setting = Setting::of(boot_with_disk(session, &image)?);
    setting.run("after", &[DISK], "info")?;
    setting.end()?;
    disk_image::check(&image).map_err(Failure)?;
    let contents = disk_image::get(&image, "/images/a.img").map_err(Failure)?;
    // The first 2 MiB were written on when the machine stopped.
    let kept = contents.get(2 << 20..).unwrap_or_default();
    let expected = pattern(8, 8 << 20);
    check(kept == &expected[2 << 20..], || "what was flushed is not there".to_string())
}
