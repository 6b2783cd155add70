//! Files: bytes, positions, sizes, descriptors.

use alloc::format;
use alloc::vec::Vec;

use pvkernel_user::abi::{open, FileKind, Seek, OPEN_MAX};
use pvkernel_user::file::read_whole;
use pvkernel_user::{sys, Errno, File};

use crate::check::{ends_well, holds, refused, same, start, Check};

crate::cases! {
    what_was_written_is_read,
    opening_as_it_is_wished,
    appends_go_behind_the_end,
    holes_are_zeros,
    a_file_is_cut_and_grown,
    a_large_file,
    descriptors_are_the_lowest,
    copies_of_descriptors_share_a_position,
    forks_share_a_position,
    there_are_so_many_descriptors,
    a_descriptor_becomes_another,
    writers_append_at_the_same_time,
    what_is_open_stays_when_its_name_goes,
    what_is_said_about_files,
}

fn what_was_written_is_read() -> Check {
    let file = File::create("file")?;
    file.write_all(b"Zendo has files")?;
    file.seek(6, Seek::Start)?;
    let mut part = [0; 3];
    same(file.read(&mut part)?, 3)?;
    same(&part, b"has")?;
    same(file.seek(-5, Seek::End)?, 10)?;
    file.write_all(b"FILES and more")?;
    same(file.seek(0, Seek::Current)?, 24)?;
    same(&read_whole("file", 100)?[..], b"Zendo has FILES and more")?;
    file.seek(1000, Seek::Start)?;
    same(file.read(&mut part)?, 0)?;
    sys::fsync(file.fd()).map_err(Into::into)
}

fn opening_as_it_is_wished() -> Check {
    refused(File::open("file", open::WRITE), &[Errno::ENOENT])?;
    let file = File::open("file", open::WRITE | open::CREATE)?;
    file.write_all(b"1234")?;
    refused(File::open("file", open::WRITE | open::CREATE | open::EXCLUSIVE), &[Errno::EEXIST])?;
    File::open("file", open::READ | open::CREATE)?;
    same(sys::stat(b"file")?.size, 4)?;
    File::open("file", open::WRITE | open::TRUNCATE)?;
    same(sys::stat(b"file")?.size, 0)?;
    refused(File::open("file", open::READ | open::DIRECTORY), &[Errno::ENOTDIR])?;
    refused(File::open(".", open::WRITE), &[Errno::EISDIR])?;
    let folder = File::open(".", open::READ)?;
    refused(folder.read(&mut [0]), &[Errno::EISDIR])
}

fn appends_go_behind_the_end() -> Check {
    let file = File::open("file", open::READ | open::WRITE | open::CREATE | open::APPEND)?;
    file.write_all(b"one ")?;
    file.seek(0, Seek::Start)?;
    file.write_all(b"two ")?;
    let other = File::open("file", open::WRITE | open::APPEND)?;
    other.write_all(b"three ")?;
    file.write_all(b"four")?;
    same(&read_whole("file", 100)?[..], b"one two three four")
}

fn holes_are_zeros() -> Check {
    let file = File::create("file")?;
    file.write_all(b"a")?;
    file.seek(100_000, Seek::Start)?;
    file.write_all(b"b")?;
    let bytes = read_whole("file", 200_000)?;
    same(bytes.len(), 100_001)?;
    same((bytes.first(), bytes.last()), (Some(&b'a'), Some(&b'b')))?;
    holds(bytes[1..100_000].iter().all(|byte| *byte == 0), "there are zeros between them")
}

fn a_file_is_cut_and_grown() -> Check {
    let file = File::create("file")?;
    file.write_all(&[1; 10_000])?;
    sys::truncate(file.fd(), 5000)?;
    same(file.stat()?.size, 5000)?;
    sys::truncate(file.fd(), 9000)?;
    let bytes = read_whole("file", 20_000)?;
    same(bytes.len(), 9000)?;
    holds(bytes[..5000].iter().all(|byte| *byte == 1), "what was kept is kept")?;
    holds(bytes[5000..].iter().all(|byte| *byte == 0), "what was cut is gone")
}

fn a_large_file() -> Check {
    const PIECES: u64 = 300;
    let file = File::create("file")?;
    let piece =
        |number: u64| -> Vec<u8> { (0..4096u64).map(|at| (at * 3 + number * 7) as u8).collect() };
    for number in 0..PIECES {
        file.write_all(&piece(number))?;
    }
    same(file.stat()?.size, PIECES * 4096)?;
    let mut found = alloc::vec![0; 4096];
    for number in (0..PIECES).rev() {
        file.seek((number * 4096) as i64, Seek::Start)?;
        file.read_full(&mut found)?;
        holds(found == piece(number), "each piece is as it was written")?;
    }
    Ok(())
}

fn descriptors_are_the_lowest() -> Check {
    let files = [File::create("a")?, File::create("b")?, File::create("c")?];
    let [a, b, c] = files.each_ref().map(File::fd);
    holds(a < b && b < c, "they go up")?;
    sys::close(b)?;
    refused(sys::close(b), &[Errno::EBADF])?;
    let again = sys::open(b"a", open::READ)?;
    same(again, b)
}

fn copies_of_descriptors_share_a_position() -> Check {
    let file = File::create("file")?;
    file.write_all(b"0123456789")?;
    file.seek(2, Seek::Start)?;
    let copy = File::of(sys::dup(file.fd(), None)?);
    let mut byte = [0];
    copy.read(&mut byte)?;
    same(byte, [b'2'])?;
    file.read(&mut byte)?;
    same(byte, [b'3'])?;
    drop(file);
    copy.read(&mut byte)?;
    same(byte, [b'4'])?;
    let other = File::read_only("file")?;
    other.read(&mut byte)?;
    same(byte, [b'0'])
}

fn forks_share_a_position() -> Check {
    let file = File::create("file")?;
    file.write_all(b"parent ")?;
    let child = start(|| {
        file.write_all(b"child ")?;
        Ok(())
    })?;
    ends_well(child)?;
    file.write_all(b"parent")?;
    same(&read_whole("file", 100)?[..], b"parent child parent")
}

fn there_are_so_many_descriptors() -> Check {
    let mut files = Vec::new();
    let end = loop {
        match File::open("file", open::READ | open::CREATE) {
            Ok(file) => files.push(file),
            Err(why) => break why,
        }
    };
    same(end, Errno::EMFILE)?;
    same(files.last().map(|file| file.fd() as usize), Some(OPEN_MAX - 1))?;
    refused(sys::dup(files[0].fd(), None), &[Errno::EMFILE])?;
    refused(sys::pipe(), &[Errno::EMFILE])?;
    files.pop();
    // A pipe needs two: the one that is free is free afterwards.
    refused(sys::pipe(), &[Errno::EMFILE])?;
    File::read_only("file").map(|_| ()).map_err(Into::into)
}

fn a_descriptor_becomes_another() -> Check {
    let (first, second) = (File::create("first")?, File::create("second")?);
    same(sys::dup(first.fd(), Some(second.fd()))?, second.fd())?;
    second.write_all(b"x")?;
    same((sys::stat(b"first")?.size, sys::stat(b"second")?.size), (1, 0))?;
    same(sys::dup(first.fd(), Some(first.fd()))?, first.fd())?;
    first.write_all(b"y")?;
    let high = File::of(sys::dup(first.fd(), Some(50))?);
    same(high.fd(), 50)?;
    high.write_all(b"z")?;
    same(&read_whole("first", 10)?[..], b"xyz")
}

fn writers_append_at_the_same_time() -> Check {
    let mut pids = Vec::new();
    for letter in b'a'..=b'd' {
        pids.push(start(|| {
            let file = File::open("file", open::WRITE | open::CREATE | open::APPEND)?;
            for _ in 0..50 {
                file.write_all(&[letter; 10])?;
                sys::yield_now();
            }
            Ok(())
        })?);
    }
    pids.into_iter().try_for_each(ends_well)?;
    let bytes = read_whole("file", 1 << 20)?;
    same(bytes.len(), 4 * 50 * 10)?;
    let whole = bytes.chunks(10).all(|chunk| chunk.iter().all(|byte| *byte == chunk[0]));
    holds(whole, "no write is lost or parted")
}

fn what_is_open_stays_when_its_name_goes() -> Check {
    let file = File::create("file")?;
    file.write_all(b"still here")?;
    sys::unlink(b"file")?;
    refused(sys::stat(b"file"), &[Errno::ENOENT])?;
    same(file.stat()?.links, 0)?;
    // Another of that name is another file.
    File::create("file")?.write_all(b"new")?;
    file.seek(0, Seek::Start)?;
    let mut bytes = [0; 20];
    same(file.read_full(&mut bytes)?, 10)?;
    same(&bytes[..10], b"still here")
}

fn what_is_said_about_files() -> Check {
    let file = File::create("file")?;
    file.write_all(&[0; 123])?;
    let (open, named) = (file.stat()?, sys::stat(b"file")?);
    same(open, named)?;
    same((named.size, named.links, named.kind), (123, 1, FileKind::File as u32))?;
    same(sys::stat(b".")?.kind, FileKind::Directory as u32)?;
    let other = File::create("other")?.stat()?;
    holds(other.inode != named.inode && other.mount == named.mount, "a file has its own number")?;
    let statfs = sys::statfs(0)?;
    holds(statfs.free <= statfs.bytes, "no more is free than there is")?;
    let path = format!("/{}", "../".repeat(20));
    same(sys::stat(path.as_bytes())?, sys::stat(b"/")?)
}
