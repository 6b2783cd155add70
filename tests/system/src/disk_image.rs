//! Disk images with an ext4, made and read on the host.
//!
//! `xtask` makes dom0's disk with it, the tests put files on disks and look at what a machine left.
//! The file system is the one dom0 uses; the judge of what it left is the host's `e2fsck`.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use zl_files::{format, Disk, DiskError, Files};

/// The folders of a new disk of dom0.
const FOLDERS: [&str; 3] = ["/images", "/configs", "/logs"];

/// Where `e2fsck` is looked for; the first two are not on everybody's path.
const FSCK: [&str; 3] = ["/usr/sbin/e2fsck", "/sbin/e2fsck", "e2fsck"];

/// A file of the host as a disk.
struct Image(File);

impl Disk for Image {
    fn sectors(&self) -> u64 {
        self.0.metadata().map_or(0, |data| data.len() / 512)
    }

    fn is_read_only(&self) -> bool {
        false
    }

    fn read(&mut self, sector: u64, buffer: &mut [u8]) -> Result<(), DiskError> {
        self.0.read_exact_at(buffer, sector * 512).map_err(|_| DiskError)
    }

    fn write(&mut self, sector: u64, buffer: &[u8]) -> Result<(), DiskError> {
        self.0.write_all_at(buffer, sector * 512).map_err(|_| DiskError)
    }

    /// The file outlives this process, and that is all these disks need.
    fn flush(&mut self) -> Result<(), DiskError> {
        Ok(())
    }
}

/// Makes a sparse file with an empty ext4 and dom0's folders. Nothing is left when it fails.
///
/// # Errors
/// The file exists, or the host's disk is full.
pub fn make(path: &Path, bytes: u64) -> Result<(), String> {
    let made = make_in(path, bytes);
    match made {
        Err(What::There(error)) => Err(format!("{}: {error}", path.display())),
        Err(What::Begun(text)) => {
            // Half an image would be taken for a whole one next time.
            let _ = std::fs::remove_file(path);
            Err(format!("{}: {text}", path.display()))
        }
        Ok(()) => Ok(()),
    }
}

/// How far the making of an image came.
enum What {
    There(io::Error),
    Begun(String),
}

fn make_in(path: &Path, bytes: u64) -> Result<(), What> {
    let begun = |error: &dyn std::fmt::Display| What::Begun(error.to_string());
    let file = OpenOptions::new().read(true).write(true).create_new(true).open(path);
    let file = file.map_err(What::There)?;
    file.set_len(bytes).map_err(|error| begun(&error))?;
    format(Box::new(Image(file)), now_s()).map_err(|error| begun(&error))?;
    let mut files = mount(path).map_err(What::Begun)?;
    for folder in FOLDERS {
        files.make_folder(folder).map_err(|error| begun(&error))?;
    }
    files.unmount().map_err(|error| begun(&error))
}

/// Mounts an image; nobody else may use it meanwhile.
///
/// # Errors
/// It is missing, or no ext4.
pub fn mount(path: &Path) -> Result<Files, String> {
    let file = OpenOptions::new().read(true).write(true).open(path);
    let file = file.map_err(|error| format!("{}: {error}", path.display()))?;
    Files::mount(Box::new(Image(file)), now_s()).map_err(|error| error.to_string())
}

/// Puts a file on an image.
///
/// # Errors
/// The image cannot be mounted, the file exists, or there is no room.
pub fn put(path: &Path, name: &str, contents: &[u8]) -> Result<(), String> {
    let mut files = mount(path)?;
    let file = files.create(name).map_err(|error| error.to_string())?;
    files.write(file, 0, contents).map_err(|error| error.to_string())?;
    files.unmount().map_err(|error| error.to_string())
}

/// The contents of a file of an image.
///
/// # Errors
/// The image cannot be mounted, or there is no such file.
pub fn get(path: &Path, name: &str) -> Result<Vec<u8>, String> {
    let mut files = mount(path)?;
    let stat = files.stat(name).map_err(|error| error.to_string())?;
    let mut contents = vec![0; usize::try_from(stat.size).map_err(|error| error.to_string())?];
    let count = files.read(stat.id, 0, &mut contents).map_err(|error| error.to_string())?;
    contents.truncate(count);
    files.unmount().map_err(|error| error.to_string())?;
    Ok(contents)
}

/// Asks `e2fsck -fn` whether an image is clean.
///
/// # Errors
/// What it found, or that there is no such program.
pub fn check(path: &Path) -> Result<(), String> {
    let found = FSCK.iter().find_map(|name| Command::new(name).arg("-fn").arg(path).output().ok());
    let output = found.ok_or("e2fsck was not found: install e2fsprogs")?;
    match output.status.success() {
        true => Ok(()),
        false => {
            let said = String::from_utf8_lossy(&output.stdout).into_owned();
            Err(format!("e2fsck -fn {}: {}\n{said}", path.display(), output.status))
        }
    }
}

/// Seconds since 1970; a host with a clock before that gets 0.
fn now_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |passed| passed.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_put_on_an_image_is_there_and_the_image_is_clean() {
        let path = std::env::temp_dir().join(format!("zendo-image-{}.img", std::process::id()));
        make(&path, 64 << 20).expect("a new image");
        assert!(make(&path, 64 << 20).is_err(), "an image is never made over another");
        put(&path, "/images/a", b"contents").expect("room");
        assert_eq!(get(&path, "/images/a"), Ok(b"contents".to_vec()));
        assert!(get(&path, "/images/b").is_err());
        let verdict = check(&path);
        std::fs::remove_file(&path).expect("it was made here");
        assert_eq!(verdict, Ok(()));
    }

    #[test]
    fn an_image_that_is_too_small_leaves_no_file() {
        let path = std::env::temp_dir().join(format!("zendo-small-{}.img", std::process::id()));
        let error = make(&path, 1 << 20).expect_err("1 MiB is no disk");
        assert!(error.contains("too small"), "{error}");
        assert!(!path.exists());
    }
}
