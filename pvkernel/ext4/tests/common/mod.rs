//! A kernel on the fake machine with an ext4 in memory, and the judge of the format.
// Each test uses a part of it.
#![allow(missing_docs, dead_code)]

use std::process::Command;
use std::sync::Arc;

use pvkernel_core::device::ram::{HeapMemory, RamDisk};
use pvkernel_core::fs::{FileTable, Limits, RamFs, Vfs};
use pvkernel_core::kernel::Kernel;
use pvkernel_core::platform::hosted::Hosted;

pub fn kernel() -> &'static Kernel {
    let (_, platform) = Hosted::leak();
    Box::leak(Box::new(Kernel::new(platform, "main")))
}

pub fn blank(mib: u64) -> Arc<RamDisk> {
    Arc::new(RamDisk::new(mib * 2048, HeapMemory::source).unwrap())
}

/// An empty file system on a new disk.
pub fn disk(kernel: &'static Kernel, mib: u64) -> Arc<RamDisk> {
    let disk = blank(mib);
    pvkernel_ext4::format(kernel, disk.clone()).unwrap();
    disk
}

pub fn bytes(disk: &RamDisk, mib: u64) -> Vec<u8> {
    let mut all = Vec::new();
    disk.with_pages(0, (mib * 2048) as u32, &mut |page| all.extend_from_slice(page)).unwrap();
    all
}

pub fn from_bytes(from: &[u8]) -> Arc<RamDisk> {
    let disk = Arc::new(RamDisk::new((from.len() / 512) as u64, HeapMemory::source).unwrap());
    let mut at = 0;
    let fill = &mut |page: &mut [u8]| {
        page.copy_from_slice(&from[at..at + page.len()]);
        at += page.len();
    };
    disk.with_pages(0, (from.len() / 512) as u32, fill).unwrap();
    disk
}

/// A tree that is the ext4 of a disk.
pub fn tree(kernel: &'static Kernel, disk: &Arc<RamDisk>) -> &'static Vfs {
    let fs = pvkernel_ext4::mount(kernel, disk.clone()).unwrap();
    Box::leak(Box::new(Vfs::new(kernel, fs, None, Limits::default())))
}

pub fn ram_table(kernel: &'static Kernel) -> FileTable {
    let fs = Arc::new(RamFs::new(kernel.platform().clock, 64 << 20));
    FileTable::new(Box::leak(Box::new(Vfs::new(kernel, fs, None, Limits::default()))))
}

/// What `e2fsck` says; nothing where it is not installed.
pub fn assert_clean(disk: &RamDisk, mib: u64) {
    let path = std::env::temp_dir().join(format!("pvkernel-ext4-{}.img", std::process::id()));
    let thread = format!("{:?}", std::thread::current().id()).replace(['(', ')'], "-");
    let path = path.with_extension(thread);
    std::fs::write(&path, bytes(disk, mib)).unwrap();
    let output = ["e2fsck", "/usr/sbin/e2fsck", "/sbin/e2fsck"]
        .iter()
        .find_map(|program| Command::new(program).args(["-f", "-n"]).arg(&path).output().ok());
    std::fs::remove_file(&path).unwrap();
    let Some(output) = output else {
        println!("skipped: no e2fsck here");
        return;
    };
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
}
