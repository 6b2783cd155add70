//! Writes a cpio archive in the `newc` format, the form of dom0's boot archive.
//!
//! Each file is a header of 110 ASCII bytes, its name, and its contents, both padded to four bytes;
//! a file called `TRAILER!!!` ends the archive. Times, owners and inode numbers are fixed, so equal
//! contents make equal archives. The reader is in dom0's image.

/// An archive under construction.
#[derive(Default)]
pub struct Archive {
    bytes: Vec<u8>,
    files: u32,
}

const MAGIC: &str = "070701";
const REGULAR_FILE_READABLE: u32 = 0o100_644;
const TRAILER: &str = "TRAILER!!!";
const ALIGNMENT: usize = 4;

impl Archive {
    /// Adds a regular file.
    ///
    /// # Errors
    /// When the contents do not fit the 32-bit size field.
    pub fn add(&mut self, name: &str, contents: &[u8]) -> crate::Result<()> {
        self.add_as(name, contents, REGULAR_FILE_READABLE, (0, 0))
    }

    /// Adds an entry of any kind: `mode` says which, `device` is its number if it is a device.
    ///
    /// # Errors
    /// When the contents do not fit the 32-bit size field.
    pub fn add_as(
        &mut self,
        name: &str,
        contents: &[u8],
        mode: u32,
        device: (u32, u32),
    ) -> crate::Result<()> {
        self.files += 1;
        self.entry(name, contents, self.files, mode, device)
    }

    /// Ends the archive and hands out its bytes.
    ///
    /// # Errors
    /// Never for the trailer itself; the signature is that of [`Archive::add`].
    pub fn finish(mut self) -> crate::Result<Vec<u8>> {
        self.entry(TRAILER, &[], 0, 0, (0, 0))?;
        Ok(self.bytes)
    }

    fn entry(
        &mut self,
        name: &str,
        contents: &[u8],
        inode: u32,
        mode: u32,
        (major, minor): (u32, u32),
    ) -> crate::Result<()> {
        let size = u32::try_from(contents.len()).map_err(|_| format!("{name} is over 4 GiB"))?;
        let name_size = name.len() as u32 + 1;
        let links = 1;
        // inode, mode, uid, gid, links, mtime, size, the file system's device, the entry's own, name
        // size, check.
        let fields = [inode, mode, 0, 0, links, 0, size, 0, 0, major, minor, name_size, 0];
        self.bytes.extend_from_slice(MAGIC.as_bytes());
        for field in fields {
            self.bytes.extend_from_slice(format!("{field:08X}").as_bytes());
        }
        self.bytes.extend_from_slice(name.as_bytes());
        self.bytes.push(0);
        self.pad();
        self.bytes.extend_from_slice(contents);
        self.pad();
        Ok(())
    }

    fn pad(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(ALIGNMENT), 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::process::{Command, Stdio};

    fn sample() -> Vec<u8> {
        let mut archive = Archive::default();
        archive.add("hello.cfg", b"name=\"hello\"\n").expect("fits");
        archive.add("hello", &[7; 5]).expect("fits");
        archive.finish().expect("fits")
    }

    #[test]
    fn headers_and_contents_are_aligned() {
        let bytes = sample();
        assert_eq!(bytes.len() % 4, 0);
        let magics = bytes.windows(6).enumerate().filter(|(_, w)| *w == MAGIC.as_bytes());
        let places: Vec<usize> = magics.map(|(at, _)| at).collect();
        // 110 + "hello.cfg\0" + 13 bytes; 110 + "hello\0" + 5 bytes; each part padded.
        assert_eq!(places, [0, 120 + 16, 120 + 16 + 116 + 8]);
    }

    #[test]
    fn equal_contents_make_equal_archives() {
        assert_eq!(sample(), sample());
    }

    #[test]
    fn cpio_lists_what_was_written() {
        let Ok(mut child) = Command::new("cpio")
            .args(["-t", "--quiet"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
        else {
            println!("skipped: no cpio program here");
            return;
        };
        let mut stdin = child.stdin.take().expect("piped");
        stdin.write_all(&sample()).expect("cpio reads");
        drop(stdin);
        let output = child.wait_with_output().expect("cpio ends");
        assert_eq!(String::from_utf8_lossy(&output.stdout), "hello.cfg\nhello\n");
    }
}
