//! Arguments that are wrong: every call refuses them with the errno that says so, and nothing else happens.

use alloc::format;
use alloc::string::String;

use pvkernel_user::abi::{Call, Errno, Seek, NAME_MAX, OPEN_MAX, PATH_MAX, USER_END};
use pvkernel_user::file::pipe;
use pvkernel_user::{sys, File};

use crate::check::{fail, holds, refused, same, Check};
use crate::danger::{address_of_code, call, keeps_registers, number, odd_flags, odd_stack};

crate::cases! {
    unknown_calls,
    bad_pointers,
    read_only_memory_is_not_filled,
    buffers_that_end_early,
    bad_lengths,
    bad_descriptors,
    bad_flags,
    bad_paths,
    registers_survive_calls,
    calls_with_odd_flags_and_stacks,
}

/// Addresses where a program has nothing.
const NOWHERE: &[u64] = &[
    0,
    1,
    0xfff,
    0x10_0000_0000,
    USER_END - 8,
    USER_END,
    0x7fff_ffff_fff8,
    0x8000_0000_0000,
    0xffff_8000_0000_0000,
    0xffff_ffff_8000_0000,
    u64::MAX - 7,
];

fn unknown_calls() -> Check {
    same(call(Call::Null, [0; 6]), Ok(0))?;
    let last = Call::ALL.iter().map(|call| *call as u64).max().unwrap_or_default();
    for unknown in [last + 1, 1000, u64::from(u32::MAX), 1 << 32, 1 << 63, u64::MAX] {
        refused(number(unknown, [0; 6]), &[Errno::ENOSYS])?;
    }
    Ok(())
}

/// The calls that take an address, with that address as the hole.
fn with_pointer(file: u64, pointer: u64) -> [(Call, [u64; 6]); 22] {
    let name = b"name".as_ptr() as u64;
    [
        (Call::Wait, [u64::MAX, pointer, 1, 0, 0, 0]),
        (Call::Exec, [pointer, 4, 0, 0, 0, 0]),
        (Call::Exec, [b"/bin/true".as_ptr() as u64, 9, pointer, 1, 0, 0]),
        (Call::WallClock, [pointer, 0, 0, 0, 0, 0]),
        (Call::Open, [pointer, 4, 1, 0, 0, 0]),
        (Call::Read, [file, pointer, 8, 0, 0, 0]),
        (Call::Write, [file, pointer, 8, 0, 0, 0]),
        (Call::Fstat, [file, pointer, 0, 0, 0, 0]),
        (Call::Stat, [pointer, 4, name, 0, 0, 0]),
        (Call::Stat, [b"/".as_ptr() as u64, 1, pointer, 0, 0, 0]),
        (Call::Mkdir, [pointer, 4, 0, 0, 0, 0]),
        (Call::Unlink, [pointer, 4, 0, 0, 0, 0]),
        (Call::Link, [pointer, 4, name, 4, 0, 0]),
        (Call::Link, [name, 4, pointer, 4, 0, 0]),
        (Call::Rename, [pointer, 4, name, 4, 0, 0]),
        (Call::Chdir, [pointer, 4, 0, 0, 0, 0]),
        (Call::Getcwd, [pointer, 100, 0, 0, 0, 0]),
        (Call::Pipe, [pointer, 0, 0, 0, 0, 0]),
        (Call::Statfs, [0, pointer, 0, 0, 0, 0]),
        (Call::Mount, [pointer, 4, name, 4, 0, 0]),
        (Call::Memory, [pointer, 0, 0, 0, 0, 0]),
        (Call::Processes, [pointer, 1, 0, 0, 0, 0]),
    ]
}

fn bad_pointers() -> Check {
    let file = File::create("file")?;
    file.write_all(&[7; 64])?;
    // `wait` needs a child that has ended, or it has no status to give.
    let child = pvkernel_user::process::in_child(|| 0)?;
    while sys::processes(&mut [NO_PROCESS; 64])? > 64 {}
    for pointer in NOWHERE {
        sys::lseek(file.fd(), 0, Seek::Start)?;
        for (which, args) in with_pointer(u64::from(file.fd()), *pointer) {
            // A null pointer says that the status is not wanted; else 0 means that it runs still.
            if which == Call::Wait {
                continue;
            }
            let found = call(which, args);
            if found != Err(Errno::EFAULT) {
                return Err(fail(format!("{which:?} with {pointer:#x}: {found:?}, wanted EFAULT")));
            }
        }
    }
    refused(
        call(Call::Getdents, [u64::from(open_root()?.into_fd()), 8, 1, 0, 0, 0]),
        &[Errno::EFAULT],
    )?;
    let ended = call(Call::Wait, [u64::from(child), 8, 0, 0, 0, 0]);
    refused(ended, &[Errno::EFAULT])
}

const NO_PROCESS: pvkernel_user::abi::Process = pvkernel_user::abi::Process {
    pid: 0,
    parent: 0,
    state: 0,
    descriptors: 0,
    pages: 0,
    run_ns: 0,
    name: [0; 32],
};

fn open_root() -> Result<File, Errno> {
    File::open("/", pvkernel_user::abi::open::READ)
}

fn read_only_memory_is_not_filled() -> Check {
    let code = address_of_code();
    let before = crate::danger::peek(code);
    let file = File::create("file")?;
    file.write_all(&[before ^ 0xff; 64])?;
    file.seek(0, Seek::Start)?;
    let fd = u64::from(file.fd());
    refused(call(Call::Read, [fd, code, 8, 0, 0, 0]), &[Errno::EFAULT])?;
    refused(call(Call::Fstat, [fd, code & !7, 0, 0, 0, 0]), &[Errno::EFAULT])?;
    refused(call(Call::Pipe, [code & !7, 0, 0, 0, 0, 0]), &[Errno::EFAULT])?;
    same(crate::danger::peek(code), before)?;
    // What can be read can be written from.
    same(call(Call::Write, [fd, code, 8, 0, 0, 0]), Ok(8))
}

/// A buffer at whose end there is nothing: an error, or what fits.
fn buffers_that_end_early() -> Check {
    let end = sys::grow(8192)? + 8192;
    let end = end.next_multiple_of(4096);
    let file = File::create("file")?;
    let fd = u64::from(file.fd());
    for inside in [1u64, 100, 4096] {
        let found = call(Call::Write, [fd, end - inside, inside + 4096, 0, 0, 0]);
        holds(found == Err(Errno::EFAULT) || found.is_ok_and(|count| count <= inside), "write")?;
    }
    file.write_all(&[1; 20_000])?;
    for inside in [1u64, 100, 4096] {
        file.seek(0, Seek::Start)?;
        let found = call(Call::Read, [fd, end - inside, inside + 4096, 0, 0, 0]);
        holds(found == Err(Errno::EFAULT) || found.is_ok_and(|count| count <= inside), "read")?;
    }
    refused(call(Call::Open, [end - 2, 10, 1, 0, 0, 0]), &[Errno::EFAULT])?;
    refused(call(Call::Fstat, [fd, end - 16, 0, 0, 0, 0]), &[Errno::EFAULT])
}

fn bad_lengths() -> Check {
    let file = File::create("file")?;
    let (fd, here) = (u64::from(file.fd()), b"name".as_ptr() as u64);
    let too_long = [Errno::ENAMETOOLONG, Errno::EFAULT, Errno::EINVAL];
    for len in [PATH_MAX as u64 + 1, 1 << 32, 1 << 63, u64::MAX] {
        refused(call(Call::Open, [here, len, 1, 0, 0, 0]), &too_long)?;
        refused(call(Call::Mkdir, [here, len, 0, 0, 0, 0]), &too_long)?;
        refused(call(Call::Link, [here, 4, here, len, 0, 0]), &too_long)?;
        refused(
            call(Call::Resolve, [here, len, 0, 0, 0, 0]),
            &[&too_long[..], &[Errno::ENETDOWN, Errno::ENOSYS]].concat(),
        )?;
    }
    for len in [1 << 47, 1 << 63, u64::MAX, u64::MAX - here] {
        let wanted = [Errno::EFAULT, Errno::EINVAL];
        let found = call(Call::Write, [fd, here, len, 0, 0, 0]);
        holds(found.is_ok() || found.is_err_and(|why| wanted.contains(&why)), "a long write")?;
        // The file is at its end: nothing is read, however much is asked for.
        let found = call(Call::Read, [fd, here, len, 0, 0, 0]);
        holds(found == Ok(0) || found.is_err_and(|why| wanted.contains(&why)), "a long read")?;
        refused(call(Call::Getcwd, [u64::MAX - 5, len, 0, 0, 0, 0]), &wanted)?;
        let many = call(Call::Processes, [8, len, 0, 0, 0, 0]);
        refused(many, &wanted)?;
    }
    // No byte needs no memory.
    same(call(Call::Write, [fd, 0, 0, 0, 0, 0]), Ok(0))?;
    let small = call(Call::Getcwd, [here & !7, 1, 0, 0, 0, 0]);
    refused(small, &[Errno::EINVAL, Errno::ENAMETOOLONG, Errno::EFAULT])
}

fn bad_descriptors() -> Check {
    let bad = [Errno::EBADF];
    let mut room = [0u8; 4096];
    let there = room.as_mut_ptr() as u64;
    for fd in [
        OPEN_MAX as u64 - 1,
        OPEN_MAX as u64,
        1000,
        1 << 31,
        u64::from(u32::MAX),
        1 << 32,
        1 << 63,
        u64::MAX,
    ] {
        for (which, args) in [
            (Call::Close, [fd, 0, 0, 0, 0, 0]),
            (Call::Read, [fd, there, 8, 0, 0, 0]),
            (Call::Write, [fd, there, 8, 0, 0, 0]),
            (Call::Dup, [fd, u64::MAX, 0, 0, 0, 0]),
            (Call::Lseek, [fd, 0, 0, 0, 0, 0]),
            (Call::Fstat, [fd, there, 0, 0, 0, 0]),
            (Call::Getdents, [fd, there, 1, 0, 0, 0]),
            (Call::Fsync, [fd, 0, 0, 0, 0, 0]),
            (Call::Truncate, [fd, 0, 0, 0, 0, 0]),
        ] {
            let found = call(which, args);
            if found != Err(Errno::EBADF) {
                return Err(fail(format!("{which:?} of {fd:#x}: {found:?}, wanted EBADF")));
            }
        }
    }
    let file = File::create("file")?;
    let fd = u64::from(file.fd());
    for to in [OPEN_MAX as u64, 1 << 32, 1 << 62, u64::MAX - 1] {
        refused(call(Call::Dup, [fd, to, 0, 0, 0, 0]), &[Errno::EBADF, Errno::EINVAL])?;
    }
    let (read, write) = pipe()?;
    refused(read.write(b"x"), &bad)?;
    refused(write.read(&mut [0]), &bad)?;
    let read_only = File::read_only("file")?;
    refused(read_only.write(b"x"), &bad)?;
    refused(sys::truncate(read_only.fd(), 0), &[Errno::EBADF, Errno::EINVAL])?;
    let write_only = File::open("file", pvkernel_user::abi::open::WRITE)?;
    refused(write_only.read(&mut [0]), &bad)
}

fn bad_flags() -> Check {
    let invalid = [Errno::EINVAL];
    let file = File::create("file")?;
    let fd = u64::from(file.fd());
    let name = b"file".as_ptr() as u64;
    for flags in [1 << 20, 1 << 63, u64::MAX] {
        refused(call(Call::Open, [name, 4, flags, 0, 0, 0]), &invalid)?;
        refused(
            call(Call::Wait, [u64::MAX, 0, flags & !1, 0, 0, 0]),
            &[Errno::EINVAL, Errno::ECHILD],
        )?;
    }
    for from in [3, 1 << 32, u64::MAX] {
        refused(call(Call::Lseek, [fd, 0, from, 0, 0, 0]), &invalid)?;
    }
    refused(file.seek(-1, Seek::Start), &invalid)?;
    refused(file.seek(-1, Seek::End), &invalid)?;
    refused(file.seek(i64::MIN, Seek::Current), &[Errno::EINVAL, Errno::EOVERFLOW])?;
    file.seek(1, Seek::Start)?;
    refused(file.seek(i64::MAX, Seek::Current), &[Errno::EINVAL, Errno::EOVERFLOW])?;
    refused(sys::truncate(file.fd(), u64::MAX), &[Errno::EFBIG, Errno::EINVAL])?;
    refused(sys::wait(i64::MIN, 0), &[Errno::ECHILD, Errno::EINVAL])?;
    same(sys::lseek(file.fd(), 0, Seek::Current), Ok(1))
}

fn bad_paths() -> Check {
    File::create("file")?;
    let name = "n".repeat(NAME_MAX + 1);
    let long = "d/".repeat(PATH_MAX / 2) + "x";
    let cases: [(&str, &[Errno]); 8] = [
        ("", &[Errno::ENOENT]),
        ("missing", &[Errno::ENOENT]),
        ("missing/x", &[Errno::ENOENT]),
        ("file/x", &[Errno::ENOTDIR]),
        ("file/..", &[Errno::ENOTDIR]),
        (&name, &[Errno::ENAMETOOLONG]),
        (&long, &[Errno::ENAMETOOLONG]),
        ("a\0b", &[Errno::ENOENT, Errno::EINVAL]),
    ];
    for (path, why) in cases {
        refused(sys::stat(path.as_bytes()), why)?;
        refused(sys::chdir(path.as_bytes()), why)?;
        refused(File::read_only(path), why)?;
        refused(sys::unlink(path.as_bytes()), why)?;
        refused(sys::rename(path.as_bytes(), b"other"), why)?;
        refused(sys::link(path.as_bytes(), b"other"), why)?;
    }
    refused(sys::mkdir(b""), &[Errno::ENOENT])?;
    refused(sys::mkdir(b"missing/x"), &[Errno::ENOENT])?;
    refused(sys::mkdir(b"file"), &[Errno::EEXIST])?;
    refused(sys::mkdir(name.as_bytes()), &[Errno::ENAMETOOLONG])?;
    refused(sys::chdir(b"file"), &[Errno::ENOTDIR])?;
    refused(File::create("/"), &[Errno::EISDIR])?;
    // The longest that are allowed.
    let longest: String = "./".repeat((PATH_MAX - 4) / 2) + "file";
    same(sys::stat(longest.as_bytes()).map(|stat| stat.size), Ok(0))?;
    File::create("n".repeat(NAME_MAX)).map(|_| ())?;
    Ok(())
}

fn registers_survive_calls() -> Check {
    for (call, seed) in
        [(Call::Null, 1), (Call::Yield, 1 << 40), (Call::Getpid, u64::MAX), (Call::ClockNs, 77)]
    {
        holds(keeps_registers(call as u64, seed), "a call changes rax, rcx and r11 only")?;
    }
    holds(keeps_registers(12345, 99), "so does one that does not exist")
}

fn calls_with_odd_flags_and_stacks() -> Check {
    const DIRECTION: u64 = 1 << 10;
    let file = File::create("file")?;
    let bytes: alloc::vec::Vec<u8> = (0..200).collect();
    let (answer, flags) = odd_flags(file.fd(), &bytes);
    same(answer, 200)?;
    holds(flags & DIRECTION != 0, "flags of a program are its own")?;
    let mut found = [0; 200];
    file.seek(0, Seek::Start)?;
    file.read_full(&mut found)?;
    same(&found[..], &bytes[..])?;
    for stack in NOWHERE {
        same(odd_stack(*stack), i64::from(sys::getpid()))?;
    }
    Ok(())
}
