//! Full disks, disks that are none, and files that are removed while they are open.

mod common;

use std::sync::Arc;

use common::{assert_clean, blank, disk, from_bytes, kernel, ram_table, tree};
use pvkernel_abi::{open, Errno, Seek};
use pvkernel_core::fs::FileTable;

const MIB: u64 = 24;
const MAKE: u64 = open::READ | open::WRITE | open::CREATE;

#[test]
fn a_full_disk_says_so_and_stays_consistent() {
    let kernel = kernel();
    let disk = disk(kernel, MIB);
    let vfs = tree(kernel, &disk);
    let table = FileTable::new(vfs);
    let before = vfs.statfs(0).unwrap().free;
    let fd = table.open(b"/big", MAKE).unwrap();
    let mut written = 0;
    let error = loop {
        match table.write(fd, &[7; 65_536], &|| false) {
            Ok(count) => written += count,
            Err(error) => break error,
        }
    };
    assert_eq!(error, Errno::ENOSPC);
    assert!(written as u64 > before / 2, "{written} of {before}");
    // Names need room, too; each failure is one of these.
    for number in 0..3000 {
        match table.open(format!("/n{number}").as_bytes(), MAKE) {
            Ok(fd) => {
                let _ = table.write(fd, &[1; 5000], &|| false);
                table.close(fd).unwrap();
            }
            Err(error) => assert_eq!(error, Errno::ENOSPC),
        }
    }
    vfs.sync().unwrap();
    assert_clean(&disk, MIB);
    table.close(fd).unwrap();
    table.unlink(b"/big").unwrap();
    let fd = table.open(b"/again", MAKE).unwrap();
    assert_eq!(table.write(fd, &[7; 65_536], &|| false), Ok(65_536));
    vfs.sync().unwrap();
    assert_clean(&disk, MIB);
}

#[test]
fn what_is_removed_while_open_comes_back_when_closed() {
    let kernel = kernel();
    let disk = disk(kernel, MIB);
    let vfs = tree(kernel, &disk);
    let table = FileTable::new(vfs);
    table.mkdir(b"/d").unwrap();
    table.chdir(b"/d").unwrap();
    let fd = table.open(b"x", MAKE).unwrap();
    table.write(fd, &[5; 3_000_000 % 65_536], &|| false).unwrap();
    let free = vfs.statfs(0).unwrap().free;
    table.unlink(b"x").unwrap();
    table.unlink(b"/d").unwrap();
    assert_eq!(table.open(b"y", MAKE), Err(Errno::ENOENT));
    assert_eq!(table.fstat(fd).unwrap().links, 0);
    let mut byte = [0];
    table.lseek(fd, 100, Seek::Start).unwrap();
    assert_eq!(table.read(fd, &mut byte, &|| false), Ok(1));
    assert_eq!(byte, [5]);
    // Others get other numbers meanwhile.
    let other = table.open(b"/other", MAKE).unwrap();
    assert_ne!(table.fstat(other).unwrap().inode, table.fstat(fd).unwrap().inode);
    table.close(fd).unwrap();
    table.chdir(b"/").unwrap();
    vfs.sync().unwrap();
    assert!(vfs.statfs(0).unwrap().free > free);
    assert_clean(&disk, MIB);
}

#[test]
fn what_is_no_ext4_is_refused() {
    let kernel = kernel();
    let refused = |disk| pvkernel_ext4::mount(kernel, disk).map(drop).unwrap_err();
    assert_eq!(refused(blank(1)), Errno::EINVAL);
    assert_eq!(refused(from_bytes(&[0xff; 1 << 20])), Errno::EIO);
    assert_eq!(refused(from_bytes(&[])), Errno::EIO);
    assert_eq!(pvkernel_ext4::format(kernel, blank(1)), Err(Errno::EINVAL));
}

#[test]
fn sizes_have_a_limit_and_times_are_those_of_the_clock() {
    let kernel = kernel();
    let disk = disk(kernel, MIB);
    let table = FileTable::new(tree(kernel, &disk));
    let fd = table.open(b"/f", MAKE).unwrap();
    assert_eq!(table.truncate(fd, 1 << 50), Err(Errno::EFBIG));
    table.lseek(fd, 1 << 50, Seek::Start).unwrap();
    assert_eq!(table.write(fd, b"x", &|| false), Err(Errno::EFBIG));
    table.lseek(fd, 1 << 30, Seek::Start).unwrap();
    assert_eq!(table.write(fd, b"x", &|| false), Ok(1));
    assert_eq!(table.fstat(fd).unwrap().size, (1 << 30) + 1);
    let now = kernel.platform().clock.wall_clock().0;
    let modified = table.fstat(fd).unwrap().modified;
    assert!(now.abs_diff(modified) < 60, "{modified} is not {now}");
    drop(table);
}

#[test]
fn it_is_there_after_it_was_mounted_again() {
    let kernel = kernel();
    let disk = disk(kernel, MIB);
    let fs = pvkernel_ext4::mount(kernel, Arc::clone(&disk) as _).unwrap();
    let made = fs.create(fs.root(), b"kept").unwrap();
    fs.write(made.inode, pvkernel_core::fs::At::End, b"text").unwrap();
    fs.release(made.inode);
    fs.end().unwrap();
    drop(fs);
    assert_clean(&disk, MIB);
    let table = FileTable::new(tree(kernel, &disk));
    let fd = table.open(b"/kept", open::READ).unwrap();
    let mut text = [0; 10];
    assert_eq!(table.read(fd, &mut text, &|| false), Ok(4));
    assert_eq!(&text[..4], b"text");
}

#[test]
fn its_thread_ends_with_the_mount() {
    let kernel = kernel();
    let disk = disk(kernel, MIB);
    kernel.yield_now();
    assert_eq!(kernel.thread_count(), 1);
    let fs = pvkernel_ext4::mount(kernel, Arc::clone(&disk) as _).unwrap();
    assert_eq!(kernel.thread_count(), 2);
    fs.end().unwrap();
    assert_eq!(fs.stat(fs.root()), Err(Errno::EIO), "it has ended");
    drop(fs);
    kernel.yield_now();
    assert_eq!(kernel.thread_count(), 1);
}

#[test]
fn a_folder_does_not_go_into_itself_whatever_has_the_name() {
    let kernel = kernel();
    let disk = disk(kernel, MIB);
    let on_disk = FileTable::new(tree(kernel, &disk));
    let in_memory = ram_table(kernel);
    for table in [&on_disk, &in_memory] {
        for folder in [&b"/b"[..], b"/b/full", b"/b/full/x", b"/b/empty"] {
            table.mkdir(folder).unwrap();
        }
        table.open(b"/b/file", MAKE).and_then(|fd| table.close(fd)).unwrap();
        for name in [&b"/b/file"[..], b"/b/full", b"/b/empty", b"/b/new", b"/b/full/x"] {
            assert_eq!(table.rename(b"/b", name), Err(Errno::EINVAL), "{name:?}");
        }
        // The other way round something is in the way.
        assert_eq!(table.rename(b"/b/full", b"/b"), Err(Errno::ENOTEMPTY));
        assert_eq!(table.rename(b"/b/file", b"/b"), Err(Errno::EISDIR));
        assert_eq!(table.rename(b"/b/full", b"/b/file"), Err(Errno::ENOTDIR));
        assert_eq!(table.rename(b"/b/full/x", b"/b/empty"), Ok(()));
    }
}
