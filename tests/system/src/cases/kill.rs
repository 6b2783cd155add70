//! A domain is destroyed in the middle of everything, again and again.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::files::fresh_image;
use super::{leaves_nothing, Verdict};
use crate::devices::Disk;
use crate::disk_image;
use crate::dom0::Dom0;
use crate::machine::Failure;
use crate::session::Session;

/// Domains that are destroyed, in the table of all cases and in a soak.
const KILLS: usize = 30;
const KILLS_OF_A_SOAK: usize = 500;
/// Bytes of the disk that is handed to the domain.
const DISK_BYTES: u64 = 16 << 20;
/// Domains between two changes of dom0's own file system.
const FILE_EVERY: usize = 5;

/// A domain with a disk of each kind and a card, all of them under load, is destroyed; the counts are as before, and
/// dom0's file system, which was written to meanwhile, is clean.
pub fn during_io(session: &Session<'_>) -> Verdict {
    let image = fresh_image(session, "kill")?;
    let scratch = scratch(session)?;
    let mut boot = session.images.dom0_boot(session.hypervisor, "")?;
    boot.disks = vec![Disk::scratch(&image), Disk::scratch(&scratch)];
    let mut dom0 = Dom0::from_machine(session.start(boot)?, session.hypervisor)?;
    dom0.ok("truncate -s 4M /images/d")?;
    let kills = if session.is_soak { KILLS_OF_A_SOAK } else { KILLS };
    let mut times = Vec::new();
    // Buffers grow in the first rounds and stay; a soak must not run twice for that.
    (0..KILLS).try_for_each(|number| kill(&mut dom0, number).map(|_| ()))?;
    let tries = leaves_nothing(&mut dom0, "domains destroyed during their requests", |dom0| {
        times.clear();
        (0..kills).try_for_each(|number| kill(dom0, number).map(|took| times.push(took)))
    })?;
    session
        .note(format!("{kills} domains destroyed: {}; counts equal at {tries}", summary(&times)));
    dom0.poweroff()?;
    disk_image::check(&image).map_err(Failure)?;
    // What stays is overwritten by the next run.
    let _ = fs::remove_file(&scratch);
    Ok(())
}

/// One domain: how long its end took.
fn kill(dom0: &mut Dom0<'_>, number: usize) -> Result<Duration, Failure> {
    let disks = "'disk=[\"phy:vdb,xvda,w\",\"ram:2M,xvdb,w\",\"file:/images/d,xvdc,w\"]'";
    let words = "'vif=[\"mtu=1500\"]' 'extra=\"disks=xvda,xvdb,xvdc card\"'";
    dom0.ok(&format!("zl create load.cfg name=victim {disks} {words}"))?;
    let at_work = |lines: &[String]| lines.iter().any(|line| line.contains("load: at work"));
    dom0.until("zl logs victim", 60, at_work)?;
    if number.is_multiple_of(FILE_EVERY) {
        dom0.ok("cp hello /images/hello")?;
        dom0.ok("rm /images/hello")?;
    }
    dom0.ok(&format!("sleep 0.0{}", number % 7))?;
    let started = Instant::now();
    dom0.ok("zl destroy victim")?;
    Ok(started.elapsed())
}

fn scratch(session: &Session<'_>) -> Result<PathBuf, Failure> {
    let name = format!("kill-vdb-{}-{}.img", session.hypervisor.name(), session.cpus);
    let path = session.images.transcripts.join(name);
    fs::File::create(&path)
        .and_then(|file| file.set_len(DISK_BYTES))
        .map_err(|error| Failure(format!("{}: {error}", path.display())))?;
    Ok(path)
}

/// The middle and the longest of some times.
fn summary(times: &[Duration]) -> String {
    let mut sorted = times.to_vec();
    sorted.sort_unstable();
    let ms = |at: usize| sorted.get(at).map_or(0.0, |took| took.as_secs_f64() * 1000.0);
    let (middle, longest) = (ms(sorted.len() / 2), ms(sorted.len().saturating_sub(1)));
    format!("each took {middle:.1} ms, {longest:.1} ms at most")
}

#[cfg(test)]
mod tests {
    use super::summary;
    use std::time::Duration;

    #[test]
    fn times_are_summed_up_by_the_middle_and_the_longest() {
        let times: Vec<Duration> = [9, 1, 4].map(Duration::from_millis).to_vec();
        assert_eq!(summary(&times), "each took 4.0 ms, 9.0 ms at most");
        assert_eq!(summary(&[]), "each took 0.0 ms, 0.0 ms at most");
    }
}
