//! A stock Linux and a program for it, from Debian's packages: fetched by name and unpacked under
//! `target/linux`; nothing is installed.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::archive::Archive;
use crate::paths::Paths;
use crate::sh::{capture_text, run, which};
use crate::Result;

/// The package that names the current kernel's.
const NEWEST: &str = "linux-image-amd64";
/// The package with the programs of the guest.
const PROGRAMS: &str = "busybox-static";
/// Kernel modules that are no part of the image, in the order in which they are loaded.
const MODULES: [&str; 7] =
    ["crc16", "mbcache", "jbd2", "crc32c_generic", "ext4", "xen-blkfront", "xen-netfront"];
/// The first program.
const INIT: &str = include_str!("init.sh");

const FOLDER: u32 = 0o040_755;
const PROGRAM: u32 = 0o100_755;
const CHARACTERS: u32 = 0o020_600;

/// What a guest is made of.
pub struct Kit {
    /// The kernel, as an ELF file.
    pub kernel: PathBuf,
    /// Its first files.
    pub ramdisk: PathBuf,
}

/// The kit; the error says why it cannot be had, which callers turn into a skip.
pub fn ensure(paths: &Paths) -> Result<Kit> {
    let folder = paths.target.join("linux");
    let kit = Kit { kernel: folder.join("vmlinux"), ramdisk: folder.join("initrd.cpio") };
    let unpacked = folder.join("unpacked");
    if !kit.kernel.is_file() {
        for tool in ["apt-get", "apt-cache", "dpkg-deb", "xz"] {
            which(tool)
                .ok_or(format!("a Linux guest comes from Debian's packages; no {tool} here"))?;
        }
        fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        fetch(&folder, &unpacked, &newest()?)?;
        fetch(&folder, &unpacked, PROGRAMS)?;
        extract_kernel(&unpacked.join("boot"), &kit.kernel)?;
    }
    // Made anew each time: its first program belongs to this checkout.
    let ramdisk = ramdisk(&unpacked)?;
    fs::write(&kit.ramdisk, ramdisk)
        .map_err(|error| format!("{}: {error}", kit.ramdisk.display()))?;
    Ok(kit)
}

/// The package of the current kernel.
fn newest() -> Result<String> {
    let said = capture_text(Command::new("apt-cache").args(["depends", NEWEST]))?;
    let found = said.lines().find_map(|line| line.trim().strip_prefix("Depends: "));
    found.map(str::to_string).ok_or(format!("{NEWEST} names no kernel"))
}

fn fetch(folder: &Path, unpacked: &Path, package: &str) -> Result<()> {
    println!("xtask: fetching {package}");
    let mut command = Command::new("apt-get");
    command.args(["-qq", "-o", "APT::Sandbox::User=", "download", package]).current_dir(folder);
    run(&mut command).map_err(|text| format!("{package} could not be fetched: {text}"))?;
    let file = entries(folder)?.into_iter().find(|file| {
        let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        name.starts_with(&format!("{package}_")) && name.ends_with(".deb")
    });
    let file = file.ok_or(format!("apt-get left no {package}"))?;
    run(Command::new("dpkg-deb").arg("-x").arg(&file).arg(unpacked))?;
    fs::remove_file(&file).map_err(|error| format!("{}: {error}", file.display()))
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>> {
    let found = folder.read_dir().map_err(|error| format!("{}: {error}", folder.display()))?;
    Ok(found.flatten().map(|entry| entry.path()).collect())
}

/// The ELF file inside of a bzImage: its boot header (Linux's boot protocol, 2.08) says where the
/// compressed payload lies; the four bytes behind it are its length when unpacked.
fn extract_kernel(boot: &Path, to: &Path) -> Result<()> {
    let image = entries(boot)?.into_iter().find(|file| {
        file.file_name().is_some_and(|name| name.to_string_lossy().starts_with("vmlinuz"))
    });
    let image = image.ok_or(format!("no vmlinuz in {}", boot.display()))?;
    let bytes = fs::read(&image).map_err(|error| format!("{}: {error}", image.display()))?;
    let payload = payload(&bytes).ok_or(format!("{} is no bzImage", image.display()))?;
    let mut child = Command::new("xz")
        .args(["-dc", "--single-stream"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| format!("xz: {error}"))?;
    let mut stdin = child.stdin.take().ok_or("xz has no input")?;
    let payload = payload.to_vec();
    // In a thread of its own, as xz writes before it has read all.
    let writer = std::thread::spawn(move || stdin.write_all(&payload));
    let output = child.wait_with_output().map_err(|error| format!("xz: {error}"))?;
    // What lies behind the stream is not read by xz, so writing may end early.
    let _ = writer.join();
    if !output.stdout.starts_with(b"\x7fELF") {
        return Err(format!("the payload of {} is no ELF file packed by xz", image.display()));
    }
    let partial = to.with_extension("partial");
    fs::write(&partial, output.stdout)
        .and_then(|()| fs::rename(&partial, to))
        .map_err(|error| format!("{}: {error}", to.display()))
}

fn payload(image: &[u8]) -> Option<&[u8]> {
    let word = |at: usize| {
        let bytes = image.get(at..at + 4)?.try_into().ok()?;
        Some(u32::from_le_bytes(bytes) as usize)
    };
    let setup_sectors = match *image.get(0x1f1)? {
        0 => 4,
        count => usize::from(count),
    };
    if image.get(0x202..0x206)? != b"HdrS" {
        return None;
    }
    let start = (setup_sectors + 1) * 512 + word(0x248)?;
    image.get(start..start + word(0x24c)?)
}

/// The first files: a shell with tools, the modules, and the program that tries things.
fn ramdisk(unpacked: &Path) -> Result<Vec<u8>> {
    let mut archive = Archive::default();
    for folder in ["bin", "dev", "etc", "lib", "mnt", "proc", "sys", "tmp"] {
        archive.add_as(folder, &[], FOLDER, (0, 0))?;
    }
    archive.add_as("dev/console", &[], CHARACTERS, (5, 1))?;
    archive.add_as("init", INIT.as_bytes(), PROGRAM, (0, 0))?;
    archive.add_as("bin/busybox", &read(&unpacked.join("bin/busybox"))?, PROGRAM, (0, 0))?;
    let modules = unpacked.join("lib/modules");
    for name in MODULES {
        let file = find(&modules, &format!("{name}.ko"))?.ok_or(format!("no module {name}"))?;
        archive.add_as(&format!("lib/{name}.ko"), &read(&file)?, PROGRAM, (0, 0))?;
    }
    archive.finish()
}

fn find(folder: &Path, name: &str) -> Result<Option<PathBuf>> {
    for path in entries(folder)? {
        // Links lead out of what was unpacked.
        if path.is_symlink() {
            continue;
        }
        if path.is_dir() {
            if let Some(found) = find(&path, name)? {
                return Ok(Some(found));
            }
        } else if path.file_name().is_some_and(|file| file == name) {
            return Ok(Some(path));
        }
    }
    Ok(None)
}

fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).map_err(|error| format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::payload;

    #[test]
    fn the_boot_header_says_where_the_payload_is() {
        let mut image = vec![0; 4096];
        assert_eq!(payload(&image), None);
        image[0x1f1] = 2;
        image[0x202..0x206].copy_from_slice(b"HdrS");
        image[0x248] = 16;
        image[0x24c] = 4;
        image[3 * 512 + 16..3 * 512 + 20].copy_from_slice(b"\xfd7zX");
        assert_eq!(payload(&image), Some(&b"\xfd7zX"[..]));
        image[0x24f] = 0xff;
        assert_eq!(payload(&image), None);
    }
}
