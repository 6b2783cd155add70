//! A run that `zl` can find: its token in dom0's boot archive, and its run file.
//!
//! `cargo xtask run` and the system tests make an [`Offer`] before they start QEMU and keep it until
//! QEMU ends. The token is in a copy of the boot archive, never on a command line; both files are
//! readable by their owner only and are removed at the end. What a run left that could not remove its
//! files is removed by the next one.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use zl_client::{Token, TOKEN_FILE};

use crate::run_file::{lives, new_token, text};

/// A regular file that only its owner may read.
const PRIVATE_FILE: u32 = 0o100_600;
const TRAILER: &str = "TRAILER!!!";
const HEADER_LEN: usize = 110;
const ALIGNMENT: usize = 4;

/// A run that can be found for as long as this lives.
#[derive(Debug)]
pub struct Offer {
    run_file: Private,
    archive: Private,
}

impl Offer {
    /// Offers a run at a port of the loopback address, whose boot archive is to be `archive`.
    ///
    /// # Errors
    /// A file cannot be read or written; nothing is left then.
    pub fn make(folder: &Path, archive: &Path, port: u16) -> io::Result<Self> {
        DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        fs::set_permissions(folder, fs::Permissions::from_mode(0o700))?;
        remove_left(folder);
        let token = new_token()?;
        let pid = std::process::id();
        let contents = with_token(&fs::read(archive)?, &token);
        let archive = Private::write(folder.join(format!("{pid}-{port}.cpio")), &contents)?;
        let text = text(port, &token, pid)?;
        let run_file = Private::write(folder.join(format!("{pid}-{port}.json")), text.as_bytes())?;
        Ok(Self { run_file, archive })
    }

    /// The boot archive with the token.
    #[must_use]
    pub fn archive(&self) -> &Path {
        &self.archive.0
    }

    /// The file that `zl --run` takes.
    #[must_use]
    pub fn run_file(&self) -> &Path {
        &self.run_file.0
    }
}

/// Removes what belongs to processes that are gone.
fn remove_left(folder: &Path) {
    let Ok(entries) = folder.read_dir() else { return };
    for path in entries.flatten().map(|entry| entry.path()) {
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let pid = name.split_once('-').and_then(|(pid, _)| pid.parse().ok());
        if pid.is_some_and(|pid| !lives(pid)) {
            // Somebody else may have been faster.
            let _ = fs::remove_file(&path);
        }
    }
}

/// A file of this run only.
#[derive(Debug)]
struct Private(PathBuf);

impl Private {
    fn write(path: PathBuf, contents: &[u8]) -> io::Result<Self> {
        // A file left by a process that had our number must not lend us its permissions.
        let _ = fs::remove_file(&path);
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
        let written = Self(path);
        file.write_all(contents)?;
        Ok(written)
    }
}

impl Drop for Private {
    fn drop(&mut self) {
        // One that is gone already is as wanted.
        let _ = fs::remove_file(&self.0);
    }
}

/// A cpio archive with the token behind its files.
fn with_token(archive: &[u8], token: &Token) -> Vec<u8> {
    let trailer = archive.windows(TRAILER.len()).rposition(|name| name == TRAILER.as_bytes());
    let end = trailer.and_then(|name| name.checked_sub(HEADER_LEN)).unwrap_or(archive.len());
    let mut bytes = archive.get(..end).unwrap_or(archive).to_vec();
    add(&mut bytes, TOKEN_FILE, PRIVATE_FILE, token.digits().to_string().as_bytes());
    add(&mut bytes, TRAILER, 0, &[]);
    bytes
}

/// Appends an entry in the `newc` format.
fn add(bytes: &mut Vec<u8>, name: &str, mode: u32, contents: &[u8]) {
    bytes.resize(bytes.len().next_multiple_of(ALIGNMENT), 0);
    let (links, len, name_len) = (1, contents.len() as u32, name.len() as u32 + 1);
    // inode, mode, uid, gid, links, mtime, size, device (4 numbers in all), name size, check.
    let fields = [0, mode, 0, 0, links, 0, len, 0, 0, 0, 0, name_len, 0];
    bytes.extend_from_slice(b"070701");
    for field in fields {
        bytes.extend_from_slice(format!("{field:08X}").as_bytes());
    }
    bytes.extend_from_slice(name.as_bytes());
    bytes.push(0);
    bytes.resize(bytes.len().next_multiple_of(ALIGNMENT), 0);
    bytes.extend_from_slice(contents);
    bytes.resize(bytes.len().next_multiple_of(ALIGNMENT), 0);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run_file;
    use zl_toolstack::archive::Archive;

    #[test]
    fn an_offer_is_private_names_the_token_twice_and_goes() {
        let folder = std::env::temp_dir().join(format!("zl-offer-{}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).unwrap();
        let mut plain = Vec::new();
        add(&mut plain, "hello", 0o100_644, b"xyz");
        add(&mut plain, TRAILER, 0, &[]);
        let archive = folder.join("boot.cpio");
        fs::write(&archive, &plain).unwrap();
        fs::write(folder.join(format!("{}-1.json", u32::MAX)), "left").unwrap();
        let offer = Offer::make(&folder, &archive, 4321).unwrap();
        let run = run_file::read(offer.run_file()).unwrap();
        let bytes = fs::read(offer.archive()).unwrap();
        let read = Archive::parse(&bytes).unwrap();
        assert_eq!(read.get("hello"), Some(&b"xyz"[..]));
        let digits = std::str::from_utf8(read.get(TOKEN_FILE).unwrap()).unwrap();
        assert!(Token::parse(digits) == Some(run.token));
        let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!([offer.run_file(), offer.archive()].map(mode), [0o600, 0o600]);
        assert_eq!(mode(&folder), 0o700);
        drop(offer);
        let left: Vec<_> = folder.read_dir().unwrap().flatten().map(|e| e.file_name()).collect();
        assert_eq!(left, ["boot.cpio"]);
        fs::remove_dir_all(&folder).unwrap();
    }
}
