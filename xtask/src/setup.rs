//! Installing Debian packages where that is possible, and saying which where it is not.

use std::process::Command;
use std::time::Duration;

use system_tests::qemu::QEMU;

use crate::sh::{capture_text, run, succeeds_within, which};
use crate::Result;

/// Makes sure QEMU is there.
pub fn ensure_qemu() -> Result<()> {
    match which(QEMU) {
        Some(_) => Ok(()),
        None => install(&["qemu-system-x86"]),
    }
}

/// The first line of `qemu-system-x86_64 --version`.
pub fn qemu_version() -> Result<String> {
    let text = capture_text(Command::new(QEMU).arg("--version"))?;
    Ok(text.lines().next().unwrap_or("").to_string())
}

/// Makes sure that the headers of Xen's public interface and a C compiler are there, which the
/// layout test of `hypercall-abi` compares with.
pub fn ensure_abi_headers() -> Result<()> {
    let headers = std::path::Path::new("/usr/include/xen/xen.h").is_file();
    match headers && which("cc").is_some() {
        true => Ok(()),
        false => install(&["libxen-dev", "gcc", "libc6-dev"]),
    }
}

/// Installs packages; the error says what to type where we may not.
pub fn install(packages: &[&str]) -> Result<()> {
    let list = packages.join(" ");
    let by_hand =
        format!("install {list} (Debian: `apt-get install --no-install-recommends {list}`)");
    let Some(mut prefix) = package_manager() else { return Err(by_hand) };
    println!("xtask: installing {list}");
    let refreshed = run(prefix().args(["update", "-q"]));
    if let Err(text) = refreshed {
        println!("xtask: {text}; trying with the lists that are there");
    }
    let mut command = prefix();
    command.args(["install", "-y", "-q", "--no-install-recommends"]).args(packages);
    run(&mut command).map_err(|text| format!("{text}; {by_hand}"))
}

/// A maker of `apt-get` commands with the rights to install, if there are any.
fn package_manager() -> Option<Box<dyn FnMut() -> Command>> {
    which("apt-get")?;
    let root = capture_text(Command::new("id").arg("-u")).is_ok_and(|id| id.trim() == "0");
    if root {
        return Some(Box::new(|| noninteractive(Command::new("apt-get"))));
    }
    let mut sudo = Command::new("sudo");
    // `-n`: never ask for a password, which would hang an unattended run.
    if which("sudo").is_some() && succeeds_within(sudo.args(["-n", "true"]), SUDO_LIMIT) {
        return Some(Box::new(|| {
            let mut command = Command::new("sudo");
            command.args(["-n", "apt-get"]);
            noninteractive(command)
        }));
    }
    None
}

const SUDO_LIMIT: Duration = Duration::from_secs(10);

fn noninteractive(mut command: Command) -> Command {
    command.env("DEBIAN_FRONTEND", "noninteractive");
    command
}
