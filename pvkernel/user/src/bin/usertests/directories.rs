//! Names: links, renaming, directories in directories.

use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use pvkernel_user::abi::{open, PATH_MAX};
use pvkernel_user::file::{entries, read_whole};
use pvkernel_user::{sys, Errno, File};

use crate::check::{ends_well, holds, in_fork, refused, same, start, Check};

crate::cases! {
    links_are_names_of_one_file,
    files_are_renamed,
    directories_are_renamed,
    directories_end_when_they_are_empty,
    names_are_listed,
    many_names,
    a_position_in_a_directory,
    deep_directories,
    where_a_process_is,
    a_directory_that_is_gone,
    other_file_systems,
    many_make_and_remove,
}

fn write(path: &str, text: &str) -> Check {
    File::create(path)?.write_all(text.as_bytes()).map_err(Into::into)
}

#[track_caller]
fn contains(path: &str, text: &str) -> Check {
    same(String::from_utf8_lossy(&read_whole(path, 1000)?).as_ref(), text)
}

fn names() -> Result<Vec<String>, Errno> {
    Ok(entries(".")?.into_iter().map(|entry| entry.name).collect())
}

fn links_are_names_of_one_file() -> Check {
    write("one", "text")?;
    sys::link(b"one", b"two")?;
    same(sys::stat(b"one")?, sys::stat(b"two")?)?;
    same(sys::stat(b"one")?.links, 2)?;
    write("two", "other")?;
    contains("one", "other")?;
    sys::unlink(b"one")?;
    contains("two", "other")?;
    same(sys::stat(b"two")?.links, 1)?;
    sys::mkdir(b"folder")?;
    refused(sys::link(b"folder", b"loop"), &[Errno::EPERM, Errno::EISDIR])?;
    refused(sys::link(b"two", b"two"), &[Errno::EEXIST])?;
    refused(sys::link(b"two", b"folder"), &[Errno::EEXIST])?;
    refused(sys::link(b"two", b"missing/x"), &[Errno::ENOENT])
}

fn files_are_renamed() -> Check {
    write("one", "1")?;
    write("two", "2")?;
    sys::rename(b"one", b"three")?;
    refused(sys::stat(b"one"), &[Errno::ENOENT])?;
    contains("three", "1")?;
    sys::rename(b"three", b"two")?;
    contains("two", "1")?;
    sys::rename(b"two", b"two")?;
    sys::mkdir(b"folder")?;
    refused(sys::rename(b"two", b"folder"), &[Errno::EISDIR])?;
    refused(sys::rename(b"folder", b"two"), &[Errno::ENOTDIR])?;
    sys::rename(b"two", b"folder/inside")?;
    contains("folder/../folder/./inside", "1")?;
    same(names()?.join(" "), "folder".into())
}

fn directories_are_renamed() -> Check {
    sys::mkdir(b"a")?;
    sys::mkdir(b"a/b")?;
    write("a/b/file", "x")?;
    sys::rename(b"a", b"c")?;
    contains("c/b/file", "x")?;
    refused(sys::rename(b"c", b"c/b/d"), &[Errno::EINVAL])?;
    refused(sys::rename(b"c", b"c/d"), &[Errno::EINVAL])?;
    sys::mkdir(b"empty")?;
    refused(sys::rename(b"empty", b"c"), &[Errno::ENOTEMPTY, Errno::EEXIST])?;
    sys::rename(b"c/b", b"empty")?;
    contains("empty/file", "x")?;
    // `..` is the new one above.
    same(sys::stat(b"empty/..")?.inode, sys::stat(b".")?.inode)?;
    refused(sys::rename(b".", b"x"), &[Errno::EINVAL, Errno::EBUSY])
}

fn directories_end_when_they_are_empty() -> Check {
    sys::mkdir(b"folder")?;
    refused(sys::mkdir(b"folder"), &[Errno::EEXIST])?;
    write("folder/file", "")?;
    refused(sys::unlink(b"folder"), &[Errno::ENOTEMPTY])?;
    sys::unlink(b"folder/file")?;
    sys::unlink(b"folder/")?;
    refused(sys::stat(b"folder"), &[Errno::ENOENT])?;
    refused(sys::unlink(b"/"), &[Errno::EBUSY, Errno::EINVAL])?;
    refused(sys::unlink(b"."), &[Errno::EINVAL, Errno::EBUSY])?;
    refused(sys::unlink(b"/dev"), &[Errno::EBUSY, Errno::ENOTEMPTY, Errno::EROFS])
}

fn names_are_listed() -> Check {
    write("b", "")?;
    sys::mkdir(b"a")?;
    write("a/x", "")?;
    same(names()?.join(" "), "a b".into())?;
    for entry in entries(".")? {
        let stat = sys::stat(entry.name.as_bytes())?;
        same((entry.inode, entry.kind), (stat.inode, stat.kind))?;
    }
    refused(entries("b"), &[Errno::ENOTDIR])?;
    let folder = File::open(".", open::READ)?;
    refused(sys::truncate(folder.fd(), 0), &[Errno::EBADF, Errno::EISDIR, Errno::EINVAL])
}

fn many_names() -> Check {
    const COUNT: usize = 300;
    for number in 0..COUNT {
        write(&format!("file-{number}"), "")?;
    }
    let found: BTreeSet<String> = names()?.into_iter().collect();
    let wanted: BTreeSet<String> = (0..COUNT).map(|number| format!("file-{number}")).collect();
    holds(found == wanted, "all names are listed once")?;
    for number in (0..COUNT).rev().step_by(2) {
        sys::unlink(format!("file-{number}").as_bytes())?;
    }
    same(names()?.len(), COUNT / 2)
}

/// Entries are read in parts while names go.
fn a_position_in_a_directory() -> Check {
    for number in 0..40 {
        write(&format!("{number:02}"), "")?;
    }
    let folder = File::open(".", open::READ)?;
    let (mut seen, mut part) = (BTreeSet::new(), [sys::NO_ENTRY; 7]);
    loop {
        let count = sys::getdents(folder.fd(), &mut part)?;
        if count == 0 {
            break;
        }
        for entry in part.iter().take(count) {
            let name = &entry.name[..entry.name_len as usize];
            if name != b"." && name != b".." {
                holds(seen.insert(name.to_vec()), "no name comes twice")?;
                sys::unlink(name)?;
            }
        }
    }
    holds(seen.len() + names()?.len() == 40, "each name was seen, or is there still")
}

fn deep_directories() -> Check {
    in_fork(|| {
        for _ in 0..200 {
            sys::mkdir(b"d")?;
            sys::chdir(b"d")?;
        }
        let mut room = alloc::vec![0; PATH_MAX];
        let len = sys::getcwd(&mut room)?;
        same(len, "/usertests".len() + 200 * 2)?;
        write("file", "deep")
    })?;
    contains(&("d/".repeat(200) + "file"), "deep")?;
    sys::unlink(("d/".repeat(200) + "file").as_bytes())?;
    for depth in (1..=200).rev() {
        sys::unlink("d/".repeat(depth).as_bytes())?;
    }
    Ok(())
}

fn where_a_process_is() -> Check {
    let here = || -> Result<String, Errno> {
        let mut room = [0; 100];
        let len = sys::getcwd(&mut room)?;
        Ok(String::from_utf8_lossy(&room[..len]).into_owned())
    };
    same(here()?, "/usertests".into())?;
    sys::mkdir(b"a")?;
    in_fork(|| {
        sys::chdir(b"a/./../a//")?;
        same(here()?, "/usertests/a".into())
    })?;
    // What the child did is the child's.
    same(here()?, "/usertests".into())?;
    sys::chdir(b"/")?;
    same(here()?, "/".into())?;
    sys::chdir(b"..")?;
    same(here()?, "/".into())
}

fn a_directory_that_is_gone() -> Check {
    in_fork(|| {
        sys::mkdir(b"gone")?;
        sys::chdir(b"gone")?;
        // Whether it may go while somebody is in it is not said; nothing may break.
        match sys::unlink(b"../gone") {
            Ok(()) => {
                refused(File::create("file"), &[Errno::ENOENT])?;
                refused(sys::mkdir(b"x"), &[Errno::ENOENT])?;
                sys::chdir(b"/").map_err(Into::into)
            }
            Err(why) => same(why, Errno::EBUSY),
        }
    })
}

fn other_file_systems() -> Check {
    write("file", "")?;
    refused(sys::link(b"/bin/true", b"true"), &[Errno::EXDEV])?;
    refused(sys::rename(b"file", b"/bin/file"), &[Errno::EXDEV, Errno::EROFS])?;
    refused(File::create("/bin/file"), &[Errno::EROFS])?;
    refused(sys::unlink(b"/bin/true"), &[Errno::EROFS])?;
    refused(File::open("/bin/true", open::WRITE), &[Errno::EROFS])?;
    refused(sys::mkdir(b"/bin/x"), &[Errno::EROFS])?;
    holds(sys::stat(b"/bin")?.mount != sys::stat(b"/")?.mount, "it is another one")?;
    sys::mkdir(b"folder")?;
    refused(sys::mount(b"/dev/null", b"folder"), &[Errno::EINVAL, Errno::ENODEV])?;
    refused(sys::mount(b"/dev/missing", b"folder"), &[Errno::ENOENT, Errno::ENODEV])?;
    refused(sys::umount(b"folder"), &[Errno::EINVAL])?;
    refused(sys::umount(b"/"), &[Errno::EBUSY, Errno::EINVAL])
}

fn many_make_and_remove() -> Check {
    let mut pids = Vec::new();
    for number in 0..4 {
        pids.push(start(|| {
            for round in 0..40 {
                let name = format!("file-{}", round % 5);
                // Another may have made or removed it at the same time.
                match round % 4 {
                    0 => drop(sys::unlink(name.as_bytes())),
                    1 => drop(sys::rename(name.as_bytes(), b"moved")),
                    2 => drop(sys::link(b"moved", name.as_bytes())),
                    _ => drop(File::create(&name).and_then(|file| file.write(&[number]))),
                }
                sys::yield_now();
            }
            Ok(())
        })?);
    }
    pids.into_iter().try_for_each(ends_well)?;
    for entry in entries(".")? {
        let links = sys::stat(entry.name.as_bytes())?.links;
        let same_file = entries(".")?.iter().filter(|other| other.inode == entry.inode).count();
        same(links as usize, same_file)?;
    }
    Ok(())
}
