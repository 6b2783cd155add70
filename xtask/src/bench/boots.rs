//! Boots of the guest called `bench`: in dom0's place on either hypervisor, or as domain of dom0.

use std::fs;
use std::time::Duration;

use system_tests::dom0::Dom0;
use system_tests::machine::{Failure, Machine};
use system_tests::qemu::{Hypervisor, Module};
use system_tests::session::{Images, Session};

use super::lines::{self, Run};
use crate::archive::Archive;
use crate::Result;

const BOOT: Duration = Duration::from_secs(60);
const ROWS: Duration = Duration::from_secs(280);
const LAST_WORDS: Duration = Duration::from_secs(2);

/// What the counter counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clock {
    /// Instructions: QEMU's `-icount`.
    Instructions,
    /// Time as it passes on the host.
    Wall,
}

/// What is run where.
#[derive(Clone, Debug)]
pub struct Setup<'a> {
    /// The files.
    pub images: &'a Images,
    /// The rows, as the guest understands it; empty for all.
    pub pattern: String,
    /// As an ordinary domain.
    pub domu: bool,
}

impl Setup<'_> {
    /// Runs it once; the second value is Xen's version, where Xen printed one.
    pub fn run(&self, which: Hypervisor, clock: Clock) -> Result<(Run, Option<String>)> {
        let label = format!("bench-{}", which.name());
        let session = Session::new(self.images, which, 1, &label);
        let printed = match self.domu {
            false => self.in_dom0s_place(&session, clock),
            true => self.as_domain(&session, clock),
        };
        let (before, printed) = printed.map_err(|failure| failure.to_string())?;
        let run = lines::read(&format!("calibration {printed}"))?;
        Ok((run, xen_version(&before)))
    }

    fn words(&self) -> String {
        match self.pattern.is_empty() {
            true => String::new(),
            false => format!("rows={}", self.pattern),
        }
    }

    fn in_dom0s_place(
        &self,
        session: &Session<'_>,
        clock: Clock,
    ) -> std::result::Result<(String, String), Failure> {
        let mut boot = self.images.guest_boot(session.hypervisor, "bench", &self.words())?;
        boot.icount = clock == Clock::Instructions;
        let mut watched = session.start(boot)?;
        let before = watched.machine.expect("calibration ", BOOT)?;
        let printed = until_done(&mut watched.machine, ROWS)?;
        let verdict = watched.expect("\n", 20)?;
        complete(verdict.trim())?;
        Ok((before, printed))
    }

    /// Under dom0, from an archive with the guest and its configuration and nothing else.
    fn as_domain(
        &self,
        session: &Session<'_>,
        clock: Clock,
    ) -> std::result::Result<(String, String), Failure> {
        let archive = self.archive().map_err(Failure)?;
        let mut boot = self.images.dom0_boot(session.hypervisor, "")?;
        boot.modules.truncate(1);
        boot.modules.push(Module::new(&archive, ""));
        boot.icount = clock == Clock::Instructions;
        let mut dom0 = Dom0::from_machine(session.start(boot)?, session.hypervisor)?;
        dom0.machine().send("zl create -c bench.cfg\r")?;
        let before = dom0.machine().expect("calibration ", BOOT)?;
        let printed = until_done(dom0.machine(), ROWS)?;
        let verdict = dom0.machine().expect("\n", BOOT)?;
        complete(verdict.trim())?;
        Ok((before, printed))
    }

    fn archive(&self) -> Result<std::path::PathBuf> {
        let guest = self.images.guests.join("bench");
        let path = self.images.guests.with_file_name("bench.cpio");
        let bytes = fs::read(&guest).map_err(|error| format!("{}: {error}", guest.display()))?;
        let mut archive = Archive::default();
        archive.add("bench", &bytes)?;
        let words = self.words();
        let configuration =
            format!("name = \"bench\"\nkernel = \"bench\"\nmemory = 32\ncmdline = \"{words}\"\n");
        archive.add("bench.cfg", configuration.as_bytes())?;
        let written = fs::write(&path, archive.finish()?);
        written.map_err(|error| format!("{}: {error}", path.display()))?;
        Ok(path)
    }
}

/// What the guest prints up to its verdict. A guest that panics gives none: Xen then stands still.
pub fn until_done(machine: &mut Machine, within: Duration) -> std::result::Result<String, Failure> {
    let ends = ["ZENDO-TEST bench ", "panicked at ", "Hardware Dom0 crashed"];
    match machine.expect_any(&ends, within)? {
        (0, printed) => Ok(printed),
        (end, printed) => {
            // What is missing of the message is missing because the machine says no more.
            let rest = machine.expect("\n", LAST_WORDS).unwrap_or_default();
            let more = machine.expect("\n", LAST_WORDS).unwrap_or_default();
            let row = printed.lines().rfind(|line| line.starts_with("row "));
            let row = row.map_or("before the first row", str::trim);
            Err(Failure(format!("{}{}: {} (last: {row})", ends[end], rest.trim(), more.trim())))
        }
    }
}

/// The guest's last word: it ran to its end. A proof that failed is told with its row.
fn complete(verdict: &str) -> std::result::Result<(), Failure> {
    match verdict {
        "SUCCESS" | "FAILURE" => Ok(()),
        _ => Err(Failure("no row has such a name (see `cargo xtask bench --list`)".into())),
    }
}

/// `4.17.7 (Debian 4.17.7+13-g2445b30a44-0+deb12u1)` from Xen's first line.
fn xen_version(printed: &str) -> Option<String> {
    let (_, rest) = printed.split_once("(XEN) Xen version ")?;
    let end = rest.find(')')? + 1;
    Some(rest[..end].to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn xens_version_is_read_from_its_first_line() {
        let line = "x\r\n(XEN) Xen version 4.17.7 (Debian 4.17.7+13-g2445b30a44-0+deb12u1) \
            (pkg-xen-devel@lists.alioth.debian.org) (x86_64-linux-gnu-gcc) debug=n\r\n";
        let version = "4.17.7 (Debian 4.17.7+13-g2445b30a44-0+deb12u1)";
        assert_eq!(xen_version(line).as_deref(), Some(version));
        assert_eq!(xen_version("(zendo) Zendo 0.1.0"), None);
    }

    #[test]
    fn a_guest_that_panics_is_not_waited_for() {
        let mut shell = std::process::Command::new("sh");
        let text = "row a b 1 2 ok\nx panicked at pages.rs:71\nin use: EBUSY\n";
        shell.args(["-c", &format!("printf '{text}'; exec sleep 60")]);
        let mut machine = Machine::spawn(shell).expect("a shell");
        let failure = until_done(&mut machine, BOOT).expect_err("it panicked");
        assert!(
            failure.0.contains("pages.rs:71: in use: EBUSY (last: row a b 1 2 ok)"),
            "{failure}"
        );
    }

    #[test]
    fn a_guest_that_found_no_row_is_an_error() {
        assert!(complete("SUCCESS").is_ok() && complete("FAILURE").is_ok());
        assert!(complete("ERROR").is_err());
    }
}
