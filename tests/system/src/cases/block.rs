//! Disks of domains: what is written stays, what is read-only stays as it is, disks come and go while a
//! domain runs, and neither end takes the other with it.

use std::fs;
use std::path::PathBuf;

use super::{check, leaves_nothing, Verdict};
use crate::devices::Disk;
use crate::dom0::Dom0;
use crate::machine::Failure;
use crate::session::Session;

/// Bytes of the disk that guests get.
const DISK: u64 = 16 << 20;
/// Domains that are killed at work.
const KILLS: usize = 30;
/// Seconds a guest may take for its words.
const PATIENCE: u64 = 90;

/// A machine with disks for guests; their files go with it.
pub(super) struct Setting<'a> {
    pub(super) dom0: Dom0<'a>,
    files: Vec<PathBuf>,
}

impl<'a> Setting<'a> {
    fn new(session: &'a Session<'a>, what: &str) -> Result<Setting<'a>, Failure> {
        let mut boot = session.images.dom0_boot(session.hypervisor, "")?;
        let file = |name: &str| {
            let (hypervisor, cpus) = (session.hypervisor.name(), session.cpus);
            session.images.transcripts.join(format!("{what}-{name}-{hypervisor}-{cpus}.img"))
        };
        let files = vec![file("vda"), file("vdb")];
        for path in &files {
            fs::create_dir_all(&session.images.transcripts)
                .and_then(|()| fs::File::create(path))
                .and_then(|file| file.set_len(DISK))
                .map_err(|error| Failure(format!("{}: {error}", path.display())))?;
        }
        boot.disks = files.iter().map(|path| Disk::scratch(path)).collect();
        let dom0 = Dom0::from_machine(session.start(boot)?, session.hypervisor)?;
        Ok(Setting { dom0, files })
    }

    /// A machine that runs already; its files stay.
    pub(super) fn of(dom0: Dom0<'a>) -> Setting<'a> {
        Setting { dom0, files: Vec::new() }
    }

    /// Creates a guest that does with its disks what the words say.
    pub(super) fn create(&mut self, name: &str, disks: &[&str], words: &str) -> Verdict {
        let disks: Vec<String> = disks.iter().map(|disk| format!("\"{disk}\"")).collect();
        let disks = disks.join(",");
        let command =
            format!("zl create blktest.cfg name={name} 'disk=[{disks}]' 'extra=\"{words}\"'");
        self.dom0.ok(&command).map(|_| ())
    }

    /// The same, and it must succeed at all of them.
    pub(super) fn run(&mut self, name: &str, disks: &[&str], words: &str) -> Verdict {
        self.create(name, disks, words)?;
        self.ends_well(name, words)
    }

    fn ends_well(&mut self, name: &str, words: &str) -> Verdict {
        let ended = |lines: &[String]| lines.iter().any(|line| line.contains("ZENDO-TEST"));
        let said = self.dom0.until(&format!("zl logs {name}"), PATIENCE, ended)?.lines;
        let good = said.iter().any(|line| line.contains("ZENDO-TEST blktest SUCCESS"));
        check(good, || format!("'{words}' ended with\n{}", said.join("\n")))?;
        self.dom0.until_gone(name, 10)
    }

    pub(super) fn says(&mut self, name: &str, text: &str) -> Verdict {
        let there = |lines: &[String]| lines.iter().any(|line| line.contains(text));
        self.dom0.until(&format!("zl logs {name}"), 20, there).map(|_| ())
    }

    pub(super) fn end(self) -> Verdict {
        let verdict = self.dom0.poweroff();
        for file in &self.files {
            // What stays is overwritten by the next run.
            let _ = fs::remove_file(file);
        }
        verdict
    }
}

/// What one domain wrote to a disk of the machine another reads, also after the first is gone; a disk in
/// memory does so under its name, and without one begins empty each time.
pub fn contents_stay(session: &Session<'_>) -> Verdict {
    let mut setting = Setting::new(session, "contents")?;
    let both = ["phy:vdb,xvda,w", "ram:shared:4M,xvdb,w"];
    let words = "info random=300 write=7 verify=7 disk=xvdb discard random=300 write=9 verify=9";
    setting.run("first", &both, words)?;
    setting.run("second", &both, "verify=7 flush disk=xvdb verify=9")?;
    setting.run("third", &["phy:vdb,xvda,r"], "refused verify=7")?;
    setting.run("fourth", &["ram:4M,xvda,w"], "random=300 write=5 verify=5 flush discard")?;
    setting.dom0.ok("zl debug ram-drop shared")?;
    setting.dom0.refused("zl debug ram-drop shared")?;
    setting.end()
}

/// A disk that one domain writes is refused to others, in one line, and nothing of them stays.
pub fn one_writer(session: &Session<'_>) -> Verdict {
    let mut setting = Setting::new(session, "writer")?;
    setting.create("writer", &["phy:vdb,xvda,w"], "info watch")?;
    setting.says("writer", "info ok")?;
    for disk in ["phy:vdb,xvda,w", "phy:vdb,xvda,r", "phy:vdz,xvda,w", "ram:512G,xvda,w"] {
        let command = format!("zl create blktest.cfg name=other 'disk=[\"{disk}\"]'");
        let line = setting.dom0.refused(&command)?;
        session.note(line);
        setting.dom0.until_gone("other", 5)?;
    }
    setting.dom0.ok("zl destroy writer")?;
    setting.run("reader", &["phy:vdb,xvda,r"], "refused")?;
    setting.end()
}

/// Disks come and go while a domain runs.
pub fn hot_plug(session: &Session<'_>) -> Verdict {
    let mut setting = Setting::new(session, "plug")?;
    setting.create("plugged", &[], "watch")?;
    setting.says("plugged", "watching")?;
    let mut times = 0;
    leaves_nothing(&mut setting.dom0, "a disk that comes and goes", |dom0| {
        times += 1;
        let said = |lines: &[String], text: &str| {
            lines.iter().filter(|line| line.contains(text)).count() == times
        };
        dom0.ok("zl block-attach plugged ram:4M,xvdc,w")?;
        dom0.until("zl logs plugged", 20, |lines| said(lines, "xvdc is there"))?;
        dom0.ok("zl block-detach plugged xvdc")?;
        dom0.until("zl logs plugged", 20, |lines| said(lines, "xvdc is gone"))?;
        let gone = |lines: &[String]| !lines.iter().any(|line| line.contains("xvdc"));
        dom0.until("zl block-list plugged", 10, gone)?;
        // What the guest asks of the store about it has to be answered, too.
        dom0.ok("sleep 0.5").map(|_| ())
    })?;
    setting.dom0.ok("zl destroy plugged")?;
    setting.end()
}

/// The back halves go and come again while a domain works: it loses nothing.
pub fn back_restarts(session: &Session<'_>) -> Verdict {
    let mut setting = Setting::new(session, "restart")?;
    for (name, disk) in [("memory", "ram:4M,xvda,w"), ("machine", "phy:vdb,xvda,w")] {
        setting.create(name, &[disk], "soak=5")?;
        setting.says(name, "round 1")?;
        for _ in 0..4 {
            setting.dom0.ok("zl debug restart-blkback")?;
            setting.dom0.ok("sleep 0.5")?;
        }
        setting.ends_well(name, "soak=5")?;
    }
    setting.end()
}

/// Domains are destroyed in the middle of their requests; nothing of them stays.
pub fn killed_at_work(session: &Session<'_>) -> Verdict {
    let mut setting = Setting::new(session, "kill")?;
    let round = |setting: &mut Dom0<'_>, number: usize| {
        let disk = ["phy:vdb,xvda,w", "ram:4M,xvda,w"][number % 2];
        let options = format!("name=victim 'disk=[\"{disk}\"]' 'extra=\"forever\"'");
        setting.ok(&format!("zl create blktest.cfg {options}"))?;
        setting.ok(&format!("sleep 0.{}", 1 + number % 4))?;
        setting.ok("zl destroy victim").map(|_| ())
    };
    let tries = leaves_nothing(&mut setting.dom0, "domains killed at work", |dom0| {
        (0..KILLS).try_for_each(|number| round(dom0, number))
    })?;
    session.note(format!("{KILLS} domains killed at work; all counts equal, time {tries}"));
    setting.run("after", &["phy:vdb,xvda,w"], "write=3 verify=3")?;
    setting.end()
}
