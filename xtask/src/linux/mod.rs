//! `linux`: a stock Debian kernel as a guest. Nobody here wrote its front halves, so they are a judge of
//! our back halves, our store and our builder.

mod kit;

use std::fs;
use std::time::Duration;

use system_tests::devices::Nic;
use system_tests::dom0::Dom0;
use system_tests::machine::Failure;
use system_tests::qemu::{Hypervisor, Module};
use system_tests::session::{Images, Session, DOM0_MIB};
use system_tests::summary::Outcome;

use crate::archive::Archive;
use crate::args::Args;
use crate::build::Programs;
use crate::paths::Paths;
use crate::{test, Result};

/// Memory of dom0: the kernel with its symbols is read into it.
const MEMORY_MIB: u32 = 320;
/// How long Linux may take for everything.
const PATIENCE: Duration = Duration::from_secs(240);
/// What it must say.
const WANTED: [&str; 7] = [
    "LINUX up",
    "LINUX disk: what was written is read",
    "LINUX ext4: kept",
    "LINUX dhcp:",
    "LINUX ping: the world answers",
    "LINUX ping: dom0 answers",
    "LINUX page: another guest serves",
];
const CONFIGURATION: &str =
    "name = 'linux'\nkernel = 'linux'\nramdisk = 'linux.initrd'\nmemory = 256\n\
                             cmdline = 'console=hvc0 quiet loglevel=1'\ndisk = ['ram:32M,xvda,w']\nvif = ['']\n";

/// The verb.
pub fn run(args: &mut Args) -> Result<()> {
    let cpus = args.number("--smp", 2, 1, 64)?;
    let programs = Programs::take(args);
    args.finish()?;
    let paths = Paths::find()?;
    let images = test::prepare(&paths, &[Hypervisor::Zendo], programs)?;
    let said = boot(&paths, &images, cpus, &kit::ensure(&paths)?)?;
    said.iter().for_each(|line| println!("{line}"));
    println!("linux: ok");
    Ok(())
}

/// What `ci` asks; skipped where the packages cannot be had.
pub fn guard(paths: &Paths, images: &Images) -> Outcome {
    let kit = match kit::ensure(paths) {
        Ok(kit) => kit,
        Err(why) => return Outcome::Skipped(why),
    };
    match boot(paths, images, 2, &kit) {
        Ok(said) => Outcome::Passed(format!("{} answers", said.len())),
        Err(text) => Outcome::Failed(text),
    }
}

/// Boots it beside a guest that serves a page; the lines it said.
fn boot(paths: &Paths, images: &Images, cpus: u32, kit: &kit::Kit) -> Result<Vec<String>> {
    let archive = paths.target.join("linux/boot.cpio");
    let read = |path: &std::path::Path| {
        fs::read(path).map_err(|error| format!("{}: {error}", path.display()))
    };
    let mut files = Archive::default();
    files.add("linux", &read(&kit.kernel)?)?;
    files.add("linux.initrd", &read(&kit.ramdisk)?)?;
    files.add("linux.cfg", CONFIGURATION.as_bytes())?;
    files.add("httpd", &read(&images.guests.join("httpd"))?)?;
    let page = "name = 'httpd'\nkernel = 'httpd'\nmemory = 32\nvif = ['ip=10.0.2.80']\n";
    files.add("httpd.cfg", page.as_bytes())?;
    fs::write(&archive, files.finish()?)
        .map_err(|error| format!("{}: {error}", archive.display()))?;
    let session = Session::new(images, Hypervisor::Zendo, cpus, "linux");
    tell(&session, &archive).map_err(|failure| {
        let kept: Vec<String> = session
            .transcripts()
            .iter()
            .map(|path| format!("\ntranscript: {}", path.display()))
            .collect();
        format!("{failure}{}", kept.concat())
    })
}

fn tell(
    session: &Session<'_>,
    archive: &std::path::Path,
) -> std::result::Result<Vec<String>, Failure> {
    let mut boot = session.images.dom0_boot(session.hypervisor, "")?;
    let usual = format!("dom0_mem={DOM0_MIB}M");
    boot.arguments = boot.arguments.replace(&usual, &format!("dom0_mem={MEMORY_MIB}M"));
    boot.memory_mib = 1024;
    boot.modules = vec![Module::new(&session.images.dom0, ""), Module::new(archive, "")];
    boot.nics = vec![Nic::uplink(Vec::new())];
    let mut dom0 = Dom0::from_machine(session.start(boot)?, session.hypervisor)?;
    dom0.ok("zl create httpd.cfg")?;
    dom0.run_within("zl create linux.cfg", PATIENCE)?;
    dom0.until_gone("linux", PATIENCE.as_secs())?;
    let said = dom0.ok("zl logs linux")?.lines;
    let said: Vec<String> = said.into_iter().filter(|line| line.starts_with("LINUX")).collect();
    for wanted in WANTED {
        if !said.iter().any(|line| line.starts_with(wanted)) {
            return Err(Failure(format!("Linux never said '{wanted}': {said:?}")));
        }
    }
    dom0.poweroff()?;
    Ok(said)
}
