//! A disk in memory that remembers what was flushed, and the judge of the format.
// Each test uses a part of it.
#![allow(missing_docs, dead_code)]

use std::process::Command;
use std::sync::{Arc, Mutex};
use zl_files::{Disk, DiskError};

/// A disk in memory. Clones are the same disk.
#[derive(Clone)]
pub struct Memory {
    pub bytes: Arc<Mutex<Vec<u8>>>,
    /// Writes that still succeed; afterwards the power is gone and nothing reaches the disk.
    pub writes_left: Arc<Mutex<u64>>,
}

impl Memory {
    pub fn new(mib: usize) -> Self {
        let bytes = Arc::new(Mutex::new(vec![0; mib << 20]));
        Self { bytes, writes_left: Arc::new(Mutex::new(u64::MAX)) }
    }

    /// The same contents on another disk with power.
    pub fn copy(&self) -> Self {
        let bytes = self.bytes.lock().unwrap().clone();
        Self { bytes: Arc::new(Mutex::new(bytes)), writes_left: Arc::new(Mutex::new(u64::MAX)) }
    }
}

impl Disk for Memory {
    fn sectors(&self) -> u64 {
        self.bytes.lock().unwrap().len() as u64 / 512
    }

    fn is_read_only(&self) -> bool {
        false
    }

    fn read(&mut self, sector: u64, buffer: &mut [u8]) -> Result<(), DiskError> {
        let bytes = self.bytes.lock().unwrap();
        let start = sector as usize * 512;
        let from = bytes.get(start..start + buffer.len()).ok_or(DiskError)?;
        buffer.copy_from_slice(from);
        Ok(())
    }

    fn write(&mut self, sector: u64, buffer: &[u8]) -> Result<(), DiskError> {
        let mut left = self.writes_left.lock().unwrap();
        *left = left.checked_sub(1).ok_or(DiskError)?;
        let mut bytes = self.bytes.lock().unwrap();
        let start = sector as usize * 512;
        let to = bytes.get_mut(start..start + buffer.len()).ok_or(DiskError)?;
        to.copy_from_slice(buffer);
        Ok(())
    }

    fn flush(&mut self) -> Result<(), DiskError> {
        match *self.writes_left.lock().unwrap() {
            0 => Err(DiskError),
            _ => Ok(()),
        }
    }
}

/// What `e2fsck -fn` says about a disk; `None` where that program is missing.
pub fn fsck(disk: &Memory) -> Option<Result<(), String>> {
    static NEXT: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);
    let number = NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    let name = format!("zl-files-{}-{number}.img", std::process::id());
    let path = std::env::temp_dir().join(name);
    std::fs::write(&path, &*disk.bytes.lock().unwrap()).expect("a temporary file");
    let found = ["/usr/sbin/e2fsck", "/sbin/e2fsck", "e2fsck"]
        .iter()
        .find_map(|program| Command::new(program).arg("-fn").arg(&path).output().ok());
    let _ = std::fs::remove_file(&path);
    let output = found?;
    Some(match output.status.code() {
        Some(0) => Ok(()),
        code => Err(format!("{code:?}: {}", String::from_utf8_lossy(&output.stdout))),
    })
}

/// Fails with what the judge says; says so where there is none.
pub fn assert_clean(disk: &Memory) {
    match fsck(disk) {
        Some(verdict) => assert_eq!(verdict, Ok(())),
        None => println!("skipped: no e2fsck program here"),
    }
}
