//! Debian's Xen 4.17, fetched by name and unpacked under `target/xen`; nothing is installed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::paths::Paths;
use crate::sh::{capture, run, which};
use crate::Result;

const PACKAGE: &str = "xen-hypervisor-4.17-amd64";
const BOOT_FILE: &str = "boot/xen-4.17-amd64.gz";

/// The uncompressed Xen; the error says why it cannot be had, which callers turn into a skip.
pub fn ensure(paths: &Paths) -> Result<PathBuf> {
    let folder = paths.xen();
    let image = folder.join("xen-4.17-amd64");
    if image.is_file() {
        return Ok(image);
    }
    if which("apt-get").is_none() || which("dpkg-deb").is_none() {
        return Err(format!("Xen 4.17 comes as the Debian package {PACKAGE}; no apt-get here"));
    }
    fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let package = downloaded(&folder)?;
    let unpacked = folder.join("unpacked");
    run(Command::new("dpkg-deb").arg("-x").arg(&package).arg(&unpacked))?;
    let bytes = capture(Command::new("gzip").arg("-dc").arg(unpacked.join(BOOT_FILE)))?;
    // Written under another name first: a run that is interrupted leaves no half image behind.
    let partial = folder.join("partial");
    fs::write(&partial, bytes).map_err(|error| format!("{}: {error}", partial.display()))?;
    fs::rename(&partial, &image).map_err(|error| format!("{}: {error}", image.display()))?;
    Ok(image)
}

/// The package file, downloaded unless it is there.
fn downloaded(folder: &Path) -> Result<PathBuf> {
    if let Some(file) = package_in(folder) {
        return Ok(file);
    }
    println!("xtask: fetching {PACKAGE}");
    let mut command = Command::new("apt-get");
    // `-qq` and no unpacking as another user: the folder belongs to whoever runs this.
    command.args(["-qq", "-o", "APT::Sandbox::User=", "download", PACKAGE]).current_dir(folder);
    if let Err(text) = run(&mut command) {
        return Err(format!("Xen 4.17 could not be fetched: {text}"));
    }
    package_in(folder).ok_or(format!("apt-get left no {PACKAGE} in {}", folder.display()))
}

/// The package's version, as its file says.
pub fn version(paths: &Paths) -> Option<String> {
    let file = package_in(&paths.xen())?;
    let name = file.file_name()?.to_string_lossy().into_owned();
    name.split('_').nth(1).map(str::to_string)
}

fn package_in(folder: &Path) -> Option<PathBuf> {
    let entries = folder.read_dir().ok()?;
    let files = entries.flatten().map(|entry| entry.path());
    let ours = |file: &PathBuf| {
        let name = file.file_name().map(|name| name.to_string_lossy().into_owned());
        name.is_some_and(|name| name.starts_with(PACKAGE) && name.ends_with(".deb"))
    };
    files.filter(ours).max()
}
