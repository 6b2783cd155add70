//! Archives as they are made, and as nobody should make them.

use alloc::sync::Arc;
use proptest::prelude::*;
use pvkernel_abi::{open, Errno, FileKind};
use std::boxed::Box;
use std::format;
use std::vec::Vec;

use super::super::*;
use crate::kernel::Kernel;
use crate::platform::hosted::Hosted;

fn add(archive: &mut Vec<u8>, name: &str, mode: u32, bytes: &[u8]) {
    let (len, name_len) = (bytes.len(), name.len() + 1);
    let numbers = [0, mode, 0, 0, 1, 77, len as u32, 0, 0, 0, 0, name_len as u32, 0];
    archive.extend(b"070701");
    numbers.iter().for_each(|number| archive.extend(format!("{number:08x}").bytes()));
    archive.extend(name.bytes().chain([0]));
    archive.resize(archive.len().next_multiple_of(4), 0);
    archive.extend(bytes);
    archive.resize(archive.len().next_multiple_of(4), 0);
}

fn sample() -> Vec<u8> {
    let mut archive = Vec::new();
    add(&mut archive, ".", 0o040_755, b"");
    add(&mut archive, "bin/sh", 0o100_755, b"a shell");
    add(&mut archive, "bin", 0o040_755, b"");
    add(&mut archive, "./bin/ls", 0o100_755, &[5; 5000]);
    add(&mut archive, "README", 0o100_644, b"read me");
    add(&mut archive, "link", 0o120_777, b"README");
    add(&mut archive, "README", 0o100_644, b"read me again");
    add(&mut archive, "TRAILER!!!", 0, b"");
    archive
}

fn leak(bytes: Vec<u8>) -> &'static [u8] {
    Box::leak(bytes.into_boxed_slice())
}

fn table(archive: Archive) -> FileTable {
    let (_, platform) = Hosted::leak();
    let kernel = Box::leak(Box::new(Kernel::new(platform, "main")));
    let vfs = Vfs::new(kernel, Arc::new(archive), None, Limits::default());
    FileTable::new(Box::leak(Box::new(vfs)))
}

#[test]
fn files_are_where_they_were_packed() {
    let bytes = leak(sample());
    let archive = Archive::new(bytes).unwrap();
    let bin = archive.within(b"bin").unwrap();
    assert!(archive.within(b"README").is_none());
    let table = table(archive);
    assert_eq!(table.program(b"/bin/sh").unwrap(), &b"a shell"[..]);
    let lent = table.program(b"/bin/ls").unwrap();
    assert!(matches!(lent, Program::Borrowed(_)), "nothing is copied");
    let fd = table.open(b"README", open::READ).unwrap();
    let mut text = [0; 20];
    assert_eq!(table.read(fd, &mut text, &|| false), Ok(13));
    assert_eq!(table.fstat(fd).unwrap().modified, 77);
    assert_eq!(table.open(b"link", open::READ), Err(Errno::ELOOP));
    assert_eq!(table.open(b"README", open::WRITE), Err(Errno::EROFS));
    assert_eq!(table.open(b"new", open::WRITE | open::CREATE), Err(Errno::EROFS));
    assert_eq!(table.mkdir(b"bin"), Err(Errno::EEXIST));
    assert_eq!(table.unlink(b"bin/sh"), Err(Errno::EROFS));
    assert_eq!(table.rename(b"bin/sh", b"x"), Err(Errno::EROFS));
    let mut entries = [dir_entry(0, FileKind::Other, b""); 8];
    let fd = table.open(b"/", open::READ).unwrap();
    assert_eq!(table.getdents(fd, &mut entries), Ok(3));
    let found = bin.lookup(bin.root(), b"sh").unwrap();
    assert_eq!(bin.lend(found.inode), Some(&b"a shell"[..]));
    assert_eq!(bin.lookup(bin.root(), b"..").unwrap().inode, bin.root());
}

#[test]
fn each_mistake_is_named() {
    let broken = |change: fn(&mut Vec<u8>)| {
        let mut bytes = sample();
        change(&mut bytes);
        Archive::new(leak(bytes)).unwrap_err()
    };
    assert_eq!(broken(|bytes| bytes.clear()).at, 0);
    assert_eq!(
        broken(|bytes| bytes[0] = b'1').what,
        "not the beginning of a file of the format 'newc'"
    );
    assert_eq!(broken(|bytes| bytes[14] = b'+').what, "a number that is none");
    assert_eq!(broken(|bytes| bytes[54] = b'f').what, "a file longer than the archive");
    assert!(broken(|bytes| bytes.truncate(bytes.len() - 20)).what.starts_with("it ends"));
    let mut bytes = Vec::new();
    add(&mut bytes, "a/../b", 0o100_644, b"");
    assert_eq!(Archive::new(leak(bytes)).unwrap_err().what, "a name that no file can have");
    let mut bytes = Vec::new();
    add(&mut bytes, "a", 0o100_644, b"");
    add(&mut bytes, "a/b", 0o100_644, b"");
    assert_eq!(
        Archive::new(leak(bytes)).unwrap_err().what,
        "a name of both a file and a directory"
    );
}

proptest! {
    #[test]
    fn no_archive_does_harm(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
        cut in any::<prop::sample::Index>(),
        is_cut in any::<bool>(),
    ) {
        let mut bytes = sample();
        for (at, byte) in changes {
            let len = bytes.len();
            bytes[at.index(len)] = byte;
        }
        if is_cut {
            bytes.truncate(cut.index(bytes.len() + 1));
        }
        let Ok(archive) = Archive::new(leak(bytes)) else { return Ok(()) };
        for inode in 0..10 {
            let _ = (archive.stat(inode), archive.lookup(inode, b".."), archive.lend(inode));
            let _ = archive.read(inode, 3, &mut [0; 100]);
            let mut entries = [dir_entry(0, FileKind::Other, b""); 3];
            let mut cursor = Cursor::Start;
            while archive.read_dir(inode, &mut cursor, &mut entries).is_ok_and(|count| count > 0) {}
        }
    }
}
