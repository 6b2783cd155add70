//! Pipes: bytes in their order, ends that close, many writers.

use alloc::vec::Vec;

use pvkernel_user::abi::{FileKind, Seek};
use pvkernel_user::file::pipe;
use pvkernel_user::process::{in_child, wait_for, Status};
use pvkernel_user::{sys, Errno};

use crate::check::{close, ends_well, holds, refused, same, start, Check};

crate::cases! {
    bytes_come_as_they_went,
    the_last_writer_ends_it,
    nobody_reads,
    a_megabyte_goes_through,
    small_writes_are_whole,
    a_full_pipe_waits,
    a_reader_that_ends_wakes_the_writer,
    many_readers_share,
    pipes_are_no_files,
    many_pipes,
}

fn bytes_come_as_they_went() -> Check {
    let (read, write) = pipe()?;
    write.write_all(b"one")?;
    write.write_all(b"two")?;
    let mut part = [0; 4];
    same(read.read(&mut part)?, 4)?;
    same(&part, b"onet")?;
    same(read.read(&mut part)?, 2)?;
    same(&part[..2], b"wo")?;
    same(read.read(&mut [])?, 0)?;
    same(write.write(&[])?, 0)
}

fn the_last_writer_ends_it() -> Check {
    let (read, write) = pipe()?;
    let second = sys::dup(write.fd(), None)?;
    let child = start(|| {
        write.write_all(b"child")?;
        Ok(())
    })?;
    ends_well(child)?;
    drop(write);
    sys::write(second, b"!")?;
    sys::close(second)?;
    let mut all = [0; 10];
    same(read.read_full(&mut all)?, 6)?;
    same(&all[..6], b"child!")?;
    same(read.read(&mut all)?, 0)?;
    same(read.read(&mut all)?, 0)
}

fn nobody_reads() -> Check {
    let (read, write) = pipe()?;
    drop(read);
    refused(write.write(b"x"), &[Errno::EPIPE])?;
    refused(write.write(b"x"), &[Errno::EPIPE])
}

fn a_megabyte_goes_through() -> Check {
    const LEN: usize = 1 << 20;
    let (read, write) = pipe()?;
    let child = start(|| {
        close(&read);
        let bytes: Vec<u8> = (0..LEN).map(|at| (at % 251) as u8).collect();
        // In pieces of odd sizes, some larger than the pipe.
        let (mut rest, mut size) = (bytes.as_slice(), 1);
        while !rest.is_empty() {
            let (part, behind) = rest.split_at(rest.len().min(size));
            write.write_all(part)?;
            rest = behind;
            size = (size * 7 + 3) % 150_001;
        }
        Ok(())
    })?;
    drop(write);
    let (mut at, mut part) = (0, alloc::vec![0; 10_007]);
    loop {
        let count = read.read(&mut part)?;
        if count == 0 {
            break;
        }
        let wrong =
            part.iter().take(count).enumerate().find(|(i, byte)| **byte != ((at + i) % 251) as u8);
        same(wrong.map(|(i, _)| at + i), None)?;
        at += count;
    }
    same(at, LEN)?;
    ends_well(child)
}

fn small_writes_are_whole() -> Check {
    const WRITERS: u8 = 5;
    const MESSAGES: usize = 60;
    let (read, write) = pipe()?;
    let mut pids = Vec::new();
    for number in 0..WRITERS {
        pids.push(start(|| {
            let size = if number == 0 { 4096 } else { 512 };
            for _ in 0..MESSAGES {
                same(write.write(&alloc::vec![number; size])?, size)?;
            }
            Ok(())
        })?);
    }
    drop(write);
    let (mut counts, mut message) = ([0; WRITERS as usize], alloc::vec![0u8; 4096]);
    loop {
        // Messages of 512 bytes; the first writer's are eight times as long.
        let count = read.read_full(&mut message[..512])?;
        if count == 0 {
            break;
        }
        same(count, 512)?;
        let number = message[0];
        if number == 0 {
            same(read.read_full(&mut message[512..4096])?, 4096 - 512)?;
        }
        let len = if number == 0 { 4096 } else { 512 };
        holds(message[..len].iter().all(|byte| *byte == number), "a message is whole")?;
        counts[usize::from(number) % counts.len()] += 1;
    }
    same(counts, [MESSAGES; WRITERS as usize])?;
    pids.into_iter().try_for_each(ends_well)
}

fn a_full_pipe_waits() -> Check {
    let (read, write) = pipe()?;
    let child = start(|| {
        close(&read);
        write.write_all(&alloc::vec![1; 200_000])?;
        Ok(())
    })?;
    drop(write);
    sys::sleep_ns(3_000_000)?;
    same(pvkernel_user::process::poll(child)?, None)?;
    let (mut sum, mut part) = (0, alloc::vec![0; 4096]);
    loop {
        match read.read(&mut part)? {
            0 => break,
            count => sum += count,
        }
    }
    same(sum, 200_000)?;
    ends_well(child)
}

fn a_reader_that_ends_wakes_the_writer() -> Check {
    let (read, write) = pipe()?;
    let writer = in_child(|| {
        close(&read);
        match write.write_all(&alloc::vec![1; 200_000]) {
            Err(Errno::EPIPE) => 32,
            _ => 1,
        }
    })?;
    drop(write);
    let reader = in_child(|| {
        let _ = read.read(&mut [0; 100]);
        0
    })?;
    drop(read);
    same(wait_for(reader)?, Status(0))?;
    same(wait_for(writer)?, Status(32))
}

fn many_readers_share() -> Check {
    let (read, write) = pipe()?;
    let (result, report) = pipe()?;
    let mut pids = Vec::new();
    for _ in 0..4 {
        let write_end = write.fd();
        pids.push(start(|| {
            sys::close(write_end)?;
            let (mut sum, mut part) = (0u32, [0; 100]);
            loop {
                match read.read(&mut part)? {
                    0 => break,
                    count => sum += count as u32,
                }
            }
            report.write_all(&sum.to_le_bytes())?;
            Ok(())
        })?);
    }
    write.write_all(&alloc::vec![1; 150_000])?;
    drop(write);
    let mut sum = 0;
    for _ in 0..4 {
        let mut part = [0; 4];
        same(result.read_full(&mut part)?, 4)?;
        sum += u32::from_le_bytes(part);
    }
    same(sum, 150_000)?;
    pids.into_iter().try_for_each(ends_well)
}

fn pipes_are_no_files() -> Check {
    let (read, write) = pipe()?;
    refused(read.seek(0, Seek::Start), &[Errno::ESPIPE])?;
    refused(sys::truncate(write.fd(), 0), &[Errno::EINVAL, Errno::ESPIPE])?;
    refused(sys::getdents(read.fd(), &mut [sys::NO_ENTRY]), &[Errno::ENOTDIR])?;
    same(read.stat()?.kind, FileKind::Character as u32)
}

fn many_pipes() -> Check {
    let mut pipes = Vec::new();
    let end = loop {
        match pipe() {
            Ok(ends) => pipes.push(ends),
            Err(why) => break why,
        }
    };
    same(end, Errno::EMFILE)?;
    holds(pipes.len() >= 25, "many fit")?;
    for (index, (_, write)) in pipes.iter().enumerate() {
        write.write_all(&[index as u8])?;
    }
    for (index, (read, _)) in pipes.iter().enumerate() {
        let mut byte = [0];
        read.read(&mut byte)?;
        same(usize::from(byte[0]), index)?;
    }
    Ok(())
}
