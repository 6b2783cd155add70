//! System calls on files: addresses become slices of the kernel, `fs` does the rest.

use alloc::vec::Vec;

use pvkernel_abi::{Call, DirEntry, Errno, Seek, PATH_MAX};
use zerocopy::IntoBytes;

use super::{in_space, Answer, Args};
use crate::fs::dir_entry;
use crate::proc::Process;

/// Bytes that go through the kernel at once.
const PIECE: usize = 4096;
/// Entries of a directory that go through the kernel at once.
const ENTRIES: usize = 8;

/// Serves a call on files.
pub(super) fn serve(process: &Process, call: Call, args: Args) -> Answer {
    let files = &process.files;
    let [a, b, c, d, ..] = args.0;
    match call {
        Call::Open => files.open(&path(process, a, b)?, c),
        Call::Close => files.close(a).map(|()| 0),
        Call::Read => read(process, a, b, c),
        Call::Write => write(process, a, b, c),
        Call::Dup => files.dup(a, (b as i64 != -1).then_some(b)),
        Call::Lseek => files.lseek(a, b as i64, seek(c)?),
        Call::Fstat => give(process, b, &files.fstat(a)?),
        Call::Stat => give(process, c, &files.stat(&path(process, a, b)?)?),
        Call::Mkdir => files.mkdir(&path(process, a, b)?).map(|()| 0),
        Call::Unlink => files.unlink(&path(process, a, b)?).map(|()| 0),
        Call::Link => files.link(&path(process, a, b)?, &path(process, c, d)?).map(|()| 0),
        Call::Rename => files.rename(&path(process, a, b)?, &path(process, c, d)?).map(|()| 0),
        Call::Chdir => files.chdir(&path(process, a, b)?).map(|()| 0),
        Call::Getcwd => getcwd(process, a, b),
        Call::Getdents => getdents(process, a, b, c),
        Call::Fsync => files.fsync(a).map(|()| 0),
        Call::Truncate => files.truncate(a, b).map(|()| 0),
        Call::Pipe => pipe(process, a),
        Call::Statfs => give(process, b, &files.vfs().statfs(a)?),
        Call::Mount => files.mount(&path(process, a, b)?, &path(process, c, d)?).map(|()| 0),
        Call::Umount => files.umount(&path(process, a, b)?).map(|()| 0),
        _ => Err(Errno::ENOSYS),
    }
}

/// A path of the program.
pub(super) fn path(process: &Process, address: u64, len: u64) -> Result<Vec<u8>, Errno> {
    in_space(process, |space| space.bytes(address, len, PATH_MAX, Errno::ENAMETOOLONG))
}

fn seek(from: u64) -> Result<Seek, Errno> {
    match from {
        0 => Ok(Seek::Start),
        1 => Ok(Seek::Current),
        2 => Ok(Seek::End),
        _ => Err(Errno::EINVAL),
    }
}

/// Copies an answer to the program.
fn give<T: IntoBytes + zerocopy::Immutable>(process: &Process, to: u64, value: &T) -> Answer {
    in_space(process, |space| space.write_value(to, value)).map(|()| 0)
}

/// A buffer for a piece of `len` bytes.
fn piece(len: u64) -> Result<Vec<u8>, Errno> {
    let len = len.min(PIECE as u64) as usize;
    let mut piece = Vec::new();
    piece.try_reserve_exact(len).map_err(|_| Errno::ENOMEM)?;
    piece.resize(len, 0);
    Ok(piece)
}

/// Reads until the file has no more at once. What came before an error is not lost: it is the answer.
fn read(process: &Process, fd: u64, to: u64, len: u64) -> Answer {
    let give_up = || process.is_killed();
    let file = process.files.get(fd)?;
    let mut buffer = piece(len)?;
    let mut done = 0;
    loop {
        let room = (len - done).min(PIECE as u64) as usize;
        let at = to.checked_add(done).ok_or(Errno::EFAULT)?;
        // The place is looked at first: what was read from a pipe cannot be put back.
        let usable = in_space(process, |space| space.prepare_write(at, room));
        let got = usable.and_then(|()| file.read(&mut buffer[..room], &give_up));
        let got = match got {
            Ok(got) => got,
            Err(errno) if done == 0 => return Err(errno),
            Err(_) => return Ok(done),
        };
        in_space(process, |space| space.write(at, &buffer[..got]))?;
        done += got as u64;
        if got < room || done == len || !file.never_waits() {
            return Ok(done);
        }
    }
}

fn write(process: &Process, fd: u64, from: u64, len: u64) -> Answer {
    let give_up = || process.is_killed();
    let file = process.files.get(fd)?;
    let mut buffer = piece(len)?;
    let mut done = 0;
    loop {
        let room = (len - done).min(PIECE as u64) as usize;
        let at = from.checked_add(done).ok_or(Errno::EFAULT)?;
        let usable = in_space(process, |space| space.read(at, &mut buffer[..room]));
        let put = usable.and_then(|()| file.write(&buffer[..room], &give_up));
        match put {
            Ok(put) => done += put as u64,
            Err(errno) if done == 0 => return Err(errno),
            Err(_) => return Ok(done),
        }
        if done == len || process.is_killed() {
            return Ok(done);
        }
    }
}

fn getcwd(process: &Process, to: u64, len: u64) -> Answer {
    let mut path = [0; PATH_MAX];
    let room = len.min(PATH_MAX as u64) as usize;
    let len = process.files.getcwd(&mut path[..room])?;
    in_space(process, |space| space.write(to, &path[..len]))?;
    Ok(len as u64)
}

fn getdents(process: &Process, fd: u64, to: u64, count: u64) -> Answer {
    let mut entries = Vec::new();
    entries.try_reserve_exact(ENTRIES).map_err(|_| Errno::ENOMEM)?;
    let count = count.min(ENTRIES as u64) as usize;
    entries.resize(count, dir_entry(0, pvkernel_abi::FileKind::Other, b""));
    in_space(process, |space| space.prepare_write(to, count * size_of::<DirEntry>()))?;
    let got = process.files.getdents(fd, &mut entries)?;
    in_space(process, |space| space.write(to, entries[..got].as_bytes()))?;
    Ok(got as u64)
}

fn pipe(process: &Process, to: u64) -> Answer {
    in_space(process, |space| space.prepare_write(to, 8))?;
    let (read, write) = process.files.pipe()?;
    give(process, to, &[read as u32, write as u32])
}
