//! The tree and the table of descriptors, on the fake machine.

use alloc::sync::Arc;
use proptest::prelude::*;
use pvkernel_abi::{open, Errno, FileKind, Seek, OPEN_MAX};
use std::boxed::Box;
use std::vec::Vec;

use super::exercise::{Op, Player};
use super::model::Model;
use super::*;
use crate::device::ram::{HeapMemory, RamDisk};
use crate::kernel::Kernel;
use crate::platform::hosted::Hosted;

const READ: u64 = open::READ;
const MAKE: u64 = open::READ | open::WRITE | open::CREATE;
const NEVER: GiveUp<'static> = &|| false;

fn kernel() -> &'static Kernel {
    let (_, platform) = Hosted::leak();
    Box::leak(Box::new(Kernel::new(platform, "main")))
}

fn ramfs(kernel: &'static Kernel, limit: u64) -> Arc<RamFs> {
    Arc::new(RamFs::new(kernel.platform().clock, limit))
}

fn tree(limit: u64) -> (Arc<RamFs>, &'static Vfs) {
    let kernel = kernel();
    let fs = ramfs(kernel, limit);
    let vfs = Vfs::new(kernel, fs.clone(), None, Limits { open_files: 100, ..Limits::default() });
    (fs, Box::leak(Box::new(vfs)))
}

fn table() -> FileTable {
    FileTable::new(tree(1 << 20).1)
}

fn put(table: &FileTable, path: &[u8], bytes: &[u8]) {
    let fd = table.open(path, MAKE).unwrap();
    assert_eq!(table.write(fd, bytes, NEVER), Ok(bytes.len()));
    table.close(fd).unwrap();
}

fn get(table: &FileTable, path: &[u8]) -> Result<Vec<u8>, Errno> {
    let fd = table.open(path, READ)?;
    let mut bytes = std::vec![0; 10_000];
    let count = table.read(fd, &mut bytes, NEVER)?;
    table.close(fd)?;
    bytes.truncate(count);
    Ok(bytes)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn histories_are_those_of_the_model(
        numbers in prop::collection::vec(any::<(u8, u32, u32, u16)>(), 0..120),
    ) {
        let (fs, vfs) = tree(64 << 20);
        let empty = fs.space();
        let (mut player, mut model) = (Player::new(FileTable::new(vfs)), Model::new());
        let ops: Vec<Op> = numbers.iter().map(|n| Op::from_numbers(n.0, n.1, n.2, n.3)).collect();
        for (at, op) in ops.iter().enumerate() {
            let (found, expected) = (player.apply(op), model.apply(op));
            prop_assert_eq!(found, expected, "step {}: {:?}", at, op);
        }
        // Whatever was done, everything comes back.
        drop(player);
        prop_assert_eq!(vfs.open_files(), 0);
        remove_all(&FileTable::new(vfs), b"/");
        prop_assert_eq!(fs.space(), empty);
    }

    #[test]
    fn a_full_file_system_refuses_and_recovers(
        limit in 0_u64..20_000,
        numbers in prop::collection::vec(any::<(u8, u32, u32, u16)>(), 0..80),
    ) {
        let (fs, vfs) = tree(limit);
        let empty = fs.space();
        let mut player = Player::new(FileTable::new(vfs));
        for n in &numbers {
            let _ = player.apply(&Op::from_numbers(n.0, n.1, n.2, n.3));
            prop_assert!(fs.space().free <= empty.free);
        }
        drop(player);
        remove_all(&FileTable::new(vfs), b"/");
        prop_assert_eq!(fs.space(), empty);
    }

    #[test]
    fn no_path_does_harm(path in prop::collection::vec(
        prop_oneof![Just(b'/'), Just(b'.'), Just(b'a'), any::<u8>()], 0..1200)) {
        let table = table();
        for flags in [READ, MAKE, 1 << 63, 0] {
            let _ = table.open(&path, flags);
        }
        let _ = (table.stat(&path), table.mkdir(&path), table.chdir(&path), table.unlink(&path));
        let _ = (table.link(b"a", &path), table.rename(&path, b"b"), table.program(&path));
    }
}

/// Removes everything below a directory.
fn remove_all(table: &FileTable, path: &[u8]) {
    let fd = table.open(path, READ).unwrap();
    let mut entry = [dir_entry(0, FileKind::Other, b"")];
    while table.getdents(fd, &mut entry).unwrap() > 0 {
        let name = &entry[0].name[..entry[0].name_len as usize];
        let child = [path, b"/", name].concat();
        if entry[0].kind == FileKind::Directory as u32 {
            remove_all(table, &child);
        }
        table.unlink(&child).unwrap();
    }
    table.close(fd).unwrap();
}

#[test]
fn a_removed_file_lives_until_it_is_closed() {
    let (fs, vfs) = tree(1 << 20);
    let (table, before) = (FileTable::new(vfs), fs.space());
    let fd = table.open(b"/x", MAKE).unwrap();
    table.unlink(b"/x").unwrap();
    assert_eq!(table.stat(b"/x"), Err(Errno::ENOENT));
    assert_eq!(table.write(fd, b"still", NEVER), Ok(5));
    assert_eq!(table.fstat(fd).unwrap().links, 0);
    let child = table.fork().unwrap();
    table.close(fd).unwrap();
    assert_ne!(fs.space(), before);
    child.close_all();
    assert_eq!(fs.space(), before);
}

#[test]
fn positions_are_shared_by_dup_and_fork() {
    let table = table();
    put(&table, b"f", b"abcdef");
    let fd = table.open(b"f", READ | open::CLOSE_ON_EXEC).unwrap();
    let other = table.dup(fd, None).unwrap();
    let child = table.fork().unwrap();
    let mut byte = [0];
    for (table, fd, expected) in [(&table, fd, b'a'), (&table, other, b'b'), (&child, fd, b'c')] {
        assert_eq!(table.read(fd, &mut byte, NEVER), Ok(1));
        assert_eq!(byte[0], expected);
    }
    assert_eq!(table.lseek(fd, -1, Seek::Current), Ok(2));
    assert_eq!(table.lseek(fd, -7, Seek::End), Err(Errno::EINVAL));
    assert_eq!(table.lseek(fd, i64::MAX, Seek::End), Err(Errno::EOVERFLOW));
    child.close_for_exec();
    assert_eq!(child.read(fd, &mut byte, NEVER), Err(Errno::EBADF));
    assert_eq!(child.read(other, &mut byte, NEVER), Ok(1));
    assert_eq!(table.write(other, b"x", NEVER), Err(Errno::EBADF));
    assert_eq!(child.count(), 1);
}

#[test]
fn dup_closes_what_was_there() {
    let table = table();
    let one = table.open(b"one", MAKE).unwrap();
    let two = table.open(b"two", MAKE).unwrap();
    assert_eq!((one, two), (0, 1));
    assert_eq!(table.dup(one, Some(two)), Ok(two));
    assert_eq!(table.dup(one, Some(one)), Ok(one));
    assert_eq!(table.dup(one, Some(40)), Ok(40));
    assert_eq!(table.vfs().open_files(), 1);
    assert_eq!(table.dup(one, Some(OPEN_MAX as u64)), Err(Errno::EBADF));
    assert_eq!(table.dup(9, Some(0)), Err(Errno::EBADF));
    table.close(one).unwrap();
    assert_eq!(table.open(b"one", READ), Ok(0), "the lowest free one");
}

#[test]
fn descriptors_and_files_are_limited() {
    let table = table();
    let all: Vec<_> = (0..OPEN_MAX).map(|_| table.open(b"x", MAKE).unwrap()).collect();
    assert_eq!(table.open(b"y", MAKE), Err(Errno::EMFILE));
    assert_eq!(table.stat(b"y"), Err(Errno::ENOENT), "nothing was made");
    assert_eq!(table.pipe(), Err(Errno::EMFILE));
    table.close(all[3]).unwrap();
    assert_eq!(table.pipe(), Err(Errno::EMFILE));
    assert_eq!(table.open(b"x", READ), Ok(3), "the other end was closed again");
    let child = FileTable::new(table.vfs());
    let more = (0..OPEN_MAX).map_while(|_| child.open(b"/", READ).ok()).count();
    assert_eq!(more, 100 - OPEN_MAX);
    assert_eq!(child.open(b"/", READ), Err(Errno::ENFILE));
    child.close_all();
    assert!(child.open(b"/", READ).is_ok());
}

#[test]
fn flags_must_make_sense() {
    let table = table();
    put(&table, b"f", b"abc");
    for flags in [0, open::CREATE, READ | open::TRUNCATE, READ | open::APPEND, READ | 256] {
        assert_eq!(table.open(b"f", flags), Err(Errno::EINVAL), "{flags}");
    }
    let fd = table.open(b"f", open::WRITE | open::APPEND).unwrap();
    table.lseek(fd, 0, Seek::Start).unwrap();
    table.write(fd, b"def", NEVER).unwrap();
    assert_eq!(get(&table, b"f"), Ok(b"abcdef".to_vec()));
    assert_eq!(table.truncate(fd, 2), Ok(()));
    assert_eq!(table.truncate(fd, 1 << 41), Err(Errno::EFBIG));
    assert_eq!(get(&table, b"f"), Ok(b"ab".to_vec()));
    let mut byte = [0];
    assert_eq!(table.read(fd, &mut byte, NEVER), Err(Errno::EBADF));
    table.lseek(fd, 1 << 40, Seek::Start).unwrap();
    let fd = table.open(b"f", open::WRITE).unwrap();
    table.lseek(fd, 1 << 40, Seek::Start).unwrap();
    assert_eq!(table.write(fd, b"x", NEVER), Err(Errno::EFBIG));
}

#[test]
fn file_systems_meet_at_directories() {
    let (_, vfs) = tree(1 << 20);
    let table = FileTable::new(vfs);
    let other = ramfs(vfs.kernel, 1 << 20);
    table.mkdir(b"/mnt").unwrap();
    put(&table, b"/mnt/hidden", b"h");
    assert_eq!(vfs.mount(&vfs.root(), b"/mnt/", other.clone(), b""), Ok(()));
    assert_eq!(vfs.mount(&vfs.root(), b"/mnt", other.clone(), b""), Err(Errno::EBUSY));
    assert_eq!(vfs.mount(&vfs.root(), b"/", other.clone(), b""), Err(Errno::EBUSY));
    assert_eq!(vfs.mount(&vfs.root(), b"/no", other, b""), Err(Errno::ENOENT));
    assert_eq!(get(&table, b"/mnt/hidden"), Err(Errno::ENOENT));
    put(&table, b"/mnt/f", b"there");
    put(&table, b"/f", b"here");
    assert_eq!(table.rename(b"/f", b"/mnt/g"), Err(Errno::EXDEV));
    assert_eq!(table.link(b"/f", b"/mnt/g"), Err(Errno::EXDEV));
    assert_eq!(table.unlink(b"/mnt"), Err(Errno::EBUSY));
    assert_eq!(table.rename(b"/mnt", b"/m"), Err(Errno::EBUSY));
    table.mkdir(b"/dir").unwrap();
    assert_eq!(table.rename(b"/dir", b"/mnt"), Err(Errno::EBUSY));
    assert_eq!(get(&table, b"/mnt/../f"), Ok(b"here".to_vec()));
    table.mkdir(b"/mnt/sub").unwrap();
    table.chdir(b"/mnt/sub").unwrap();
    let mut path = [0; 64];
    assert_eq!(table.getcwd(&mut path), Ok(8));
    assert_eq!(&path[..8], b"/mnt/sub");
    assert_eq!(table.getcwd(&mut path[..7]), Err(Errno::ENAMETOOLONG));
    assert_eq!(get(&table, b"../../f"), Ok(b"here".to_vec()));
    assert_eq!(table.umount(b"/mnt"), Err(Errno::EBUSY));
    assert_eq!((table.stat(b"/f").unwrap().mount, table.stat(b".").unwrap().mount), (0, 1));
    let about = vfs.statfs(1).unwrap();
    assert_eq!((&about.kind[..6], &about.path[..5]), (&b"ramfs\0"[..], &b"/mnt\0"[..]));
    assert_eq!(vfs.statfs(2).err(), Some(Errno::ENOENT));
    assert_eq!(table.umount(b"/mnt/sub"), Err(Errno::EINVAL));
    table.chdir(b"/").unwrap();
    assert_eq!(table.umount(b"/"), Err(Errno::EBUSY));
    assert_eq!(table.umount(b"/mnt"), Ok(()));
    assert_eq!(get(&table, b"/mnt/hidden"), Ok(b"h".to_vec()));
}

#[test]
fn devices_are_files() {
    let kernel = kernel();
    let mut dev = DevFs::new();
    let disk = Arc::new(RamDisk::new(16, HeapMemory::source).unwrap());
    dev.add_disk(kernel, "xvda", disk);
    let root = ramfs(kernel, 1 << 20);
    let make: MakeFileSystem = |kernel, _| Ok(ramfs(kernel, 1 << 20));
    let vfs = Vfs::new(kernel, root, Some(make), Limits::default());
    let vfs: &'static Vfs = Box::leak(Box::new(vfs));
    let table = FileTable::new(vfs);
    table.mkdir(b"/dev").unwrap();
    vfs.mount(&vfs.root(), b"/dev", Arc::new(dev), b"").unwrap();
    let null = table.open(b"/dev/null", READ | open::WRITE | open::TRUNCATE).unwrap();
    let mut bytes = [7; 2000];
    assert_eq!(table.read(null, &mut bytes, NEVER), Ok(0));
    assert_eq!(table.write(null, &bytes, NEVER), Ok(2000));
    assert_eq!(table.lseek(null, 0, Seek::Start), Err(Errno::ESPIPE));
    let zero = table.open(b"/dev/zero", READ).unwrap();
    assert_eq!(table.read(zero, &mut bytes, NEVER), Ok(2000));
    assert_eq!(bytes, [0; 2000]);
    let disk = table.open(b"/dev/xvda", READ | open::WRITE).unwrap();
    assert_eq!(table.fstat(disk).unwrap().kind, FileKind::Block as u32);
    assert_eq!(table.lseek(disk, -300, Seek::End), Ok(16 * 512 - 300));
    assert_eq!(table.write(disk, &[9; 1000], NEVER), Ok(300));
    assert_eq!(table.write(disk, &[9; 1000], NEVER), Err(Errno::ENOSPC));
    assert_eq!(table.lseek(disk, -1400, Seek::End), Ok(16 * 512 - 1400));
    assert_eq!(table.read(disk, &mut bytes, NEVER), Ok(1400));
    assert!(bytes[..1400].iter().enumerate().all(|(at, byte)| (*byte == 9) == (at >= 1100)));
    assert_eq!(table.fsync(disk), Ok(()));
    table.mkdir(b"/mnt").unwrap();
    assert_eq!(table.mount(b"/dev/null", b"/mnt"), Err(Errno::ENODEV));
    assert_eq!(table.mount(b"/dev/xvda", b"/none"), Err(Errno::ENOENT));
    assert_eq!(table.mount(b"/dev/xvda", b"/mnt"), Ok(()));
    table.mkdir(b"/two").unwrap();
    assert_eq!(table.mount(b"/dev/xvda", b"/two"), Err(Errno::EBUSY));
    table.lseek(disk, 0, Seek::Start).unwrap();
    assert_eq!(table.write(disk, b"x", NEVER), Err(Errno::EBUSY), "it is mounted");
    assert_eq!(table.umount(b"/mnt"), Ok(()));
    assert_eq!(table.write(disk, b"x", NEVER), Ok(1));
    assert_eq!(table.mount(b"/dev/xvda", b"/two"), Ok(()));
    assert_eq!(table.open(b"/dev/new", MAKE), Err(Errno::EROFS));
    assert_eq!(table.unlink(b"/dev/null"), Err(Errno::EROFS));
}

#[test]
fn a_directory_is_read_while_it_changes() {
    let table = table();
    for name in [b"a", b"b", b"c", b"d"] {
        put(&table, name, b"");
    }
    let fd = table.open(b".", READ).unwrap();
    let mut entry = [dir_entry(0, FileKind::Other, b"")];
    assert_eq!(table.getdents(fd, &mut entry), Ok(1));
    table.unlink(b"a").unwrap();
    table.unlink(b"b").unwrap();
    assert_eq!(table.getdents(fd, &mut entry), Ok(1));
    assert_eq!(entry[0].name[0], b'c');
    assert_eq!(table.getdents(fd, &mut []), Err(Errno::EINVAL));
    assert_eq!(table.lseek(fd, 0, Seek::Start), Ok(0));
    assert_eq!(table.getdents(fd, &mut entry), Ok(1));
    assert_eq!(entry[0].name[0], b'c');
}
