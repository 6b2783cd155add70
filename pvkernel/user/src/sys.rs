//! System calls: the one instruction, and a function for each call.
//!
//! All memory that the kernel reads or writes for a call is lent to it by a slice or a reference. The
//! unsafe code is in four places: the instruction, `bare` and `plain` for calls that write nothing here, and
//! `filling` for those that write to what the caller lends.

use pvkernel_abi::{
    Call, DirEntry, Errno, MemoryInfo, Process, Seek, Stat, StatFs, Text, NAME_MAX,
};
use zerocopy::{FromBytes, FromZeros, Immutable, IntoBytes};

use crate::Result;

/// Makes a system call by its number.
///
/// # Safety
/// The kernel writes where the arguments say. What is there must be lent to the call, and any bytes must
/// be valid for it.
#[cfg(target_os = "none")]
#[inline]
pub unsafe fn raw(number: u64, args: [u64; 6]) -> i64 {
    let answer;
    // SAFETY: the kernel changes rax, rcx and r11, which are named, and the memory of the caller's note.
    unsafe {
        core::arch::asm!(
            "syscall",
            inlateout("rax") number => answer,
            in("rdi") args[0], in("rsi") args[1], in("rdx") args[2],
            in("r10") args[3], in("r8") args[4], in("r9") args[5],
            lateout("rcx") _, lateout("r11") _,
            options(nostack)
        );
    }
    answer
}

/// There is no such kernel on the host.
///
/// # Safety
/// None is needed; it does nothing.
#[cfg(not(target_os = "none"))]
#[must_use]
pub unsafe fn raw(_number: u64, _args: [u64; 6]) -> i64 {
    Errno::ENOSYS.answer()
}

/// A call without arguments, which writes nothing into this program's memory. What is in the registers
/// of the arguments is no concern of it, and is not set.
#[cfg(target_os = "none")]
#[inline]
fn bare(call: Call) -> Result<u64> {
    let answer;
    // SAFETY: this module comes here only with calls that take no arguments; the kernel changes rax, rcx
    // and r11, which are named.
    unsafe {
        core::arch::asm!(
            "syscall",
            inlateout("rax") call as u64 => answer,
            lateout("rcx") _, lateout("r11") _,
            options(nostack)
        );
    }
    Errno::check(answer)
}

/// There is no such kernel on the host.
#[cfg(not(target_os = "none"))]
fn bare(call: Call) -> Result<u64> {
    plain(call, [0; 6])
}

/// A call that writes nothing into this program's memory.
#[inline]
fn plain(call: Call, args: [u64; 6]) -> Result<u64> {
    // SAFETY: this module comes here only with calls that read memory, or none.
    Errno::check(unsafe { raw(call as u64, args) })
}

/// A call that fills `out`, whose address becomes the argument `at`.
#[inline]
fn filling<T>(call: Call, mut args: [u64; 6], at: usize, out: &mut T) -> Result<u64>
where
    T: FromBytes + IntoBytes + ?Sized,
{
    args[at] = out.as_mut_bytes().as_mut_ptr() as u64;
    // SAFETY: the kernel writes at most what `out` spans, which is borrowed here, and `FromBytes` says
    // that any bytes are good there.
    Errno::check(unsafe { raw(call as u64, args) })
}

/// Address and length, as calls take texts.
fn parts(text: &[u8]) -> (u64, u64) {
    (text.as_ptr() as u64, text.len() as u64)
}

fn one_path(call: Call, path: &[u8]) -> Result<u64> {
    let (address, len) = parts(path);
    plain(call, [address, len, 0, 0, 0, 0])
}

fn two_paths(call: Call, old: &[u8], new: &[u8]) -> Result<()> {
    let ((a, b), (c, d)) = (parts(old), parts(new));
    plain(call, [a, b, c, d, 0, 0]).map(|_| ())
}

/// A buffer of no bytes has an address the kernel need not look at.
fn bytes_of<T: IntoBytes + Immutable + ?Sized>(value: &T) -> u64 {
    value.as_bytes().as_ptr() as u64
}

/// Does nothing.
#[inline]
pub fn null() {
    // It cannot fail; its time is what is asked for.
    let _ = bare(Call::Null);
}

/// Ends the process.
pub fn exit(status: i32) -> ! {
    loop {
        // It does not come back.
        let _ = plain(Call::Exit, [status as u64, 0, 0, 0, 0, 0]);
    }
}

/// Makes a copy of this process: its number, or 0 in the copy.
pub fn fork() -> Result<u32> {
    bare(Call::Fork).map(|pid| pid as u32)
}

/// Waits for a child, or any for -1: its number and status; number 0 when `flags` forbid to wait.
pub fn wait(pid: i64, flags: u64) -> Result<(u32, i32)> {
    let mut status = 0i32;
    let ended = filling(Call::Wait, [pid as u64, 0, flags, 0, 0, 0], 1, &mut status)?;
    Ok((ended as u32, status))
}

/// Becomes another program; comes back only with an error.
pub fn exec(path: &[u8], args: &[Text]) -> Errno {
    let (address, len) = parts(path);
    let args = [address, len, bytes_of(args), args.len() as u64, 0, 0];
    plain(Call::Exec, args).err().unwrap_or(Errno::EINVAL)
}

/// Ends a process.
pub fn kill(pid: u32) -> Result<()> {
    plain(Call::Kill, [u64::from(pid), 0, 0, 0, 0, 0]).map(|_| ())
}

/// This process's number.
#[must_use]
pub fn getpid() -> u32 {
    bare(Call::Getpid).unwrap_or(0) as u32
}

/// Its parent's, or 0.
#[must_use]
pub fn getppid() -> u32 {
    bare(Call::Getppid).unwrap_or(0) as u32
}

/// Lets others run.
pub fn yield_now() {
    // It cannot fail.
    let _ = bare(Call::Yield);
}

/// Sleeps.
pub fn sleep_ns(duration: u64) -> Result<()> {
    plain(Call::SleepNs, [duration, 0, 0, 0, 0, 0]).map(|_| ())
}

/// Time since the kernel started.
#[must_use]
pub fn clock_ns() -> u64 {
    bare(Call::ClockNs).unwrap_or(0)
}

/// Seconds and nanoseconds since 1970.
pub fn wall_clock() -> Result<[u64; 2]> {
    let mut now = [0u64; 2];
    filling(Call::WallClock, [0; 6], 0, &mut now)?;
    Ok(now)
}

/// Makes the heap larger; gives its end before.
pub fn grow(bytes: u64) -> Result<u64> {
    let change = i64::try_from(bytes).map_err(|_| Errno::ENOMEM)?;
    plain(Call::Sbrk, [change as u64, 0, 0, 0, 0, 0])
}

/// Makes the heap smaller; gives its end before.
///
/// # Safety
/// Nothing of what is cut off is in use.
pub unsafe fn shrink(bytes: u64) -> Result<u64> {
    plain(Call::Sbrk, [bytes.wrapping_neg(), 0, 0, 0, 0, 0])
}

/// Opens a file: its descriptor.
pub fn open(path: &[u8], flags: u64) -> Result<u32> {
    let (address, len) = parts(path);
    plain(Call::Open, [address, len, flags, 0, 0, 0]).map(|fd| fd as u32)
}

/// Closes a descriptor.
pub fn close(fd: u32) -> Result<()> {
    plain(Call::Close, [u64::from(fd), 0, 0, 0, 0, 0]).map(|_| ())
}

/// Reads; 0 at the end.
pub fn read(fd: u32, buffer: &mut [u8]) -> Result<usize> {
    let args = [u64::from(fd), 0, buffer.len() as u64, 0, 0, 0];
    filling(Call::Read, args, 1, buffer).map(|count| count as usize)
}

/// Writes: how many bytes it was.
pub fn write(fd: u32, bytes: &[u8]) -> Result<usize> {
    let (address, len) = parts(bytes);
    let count = plain(Call::Write, [u64::from(fd), address, len, 0, 0, 0])?;
    Ok(count as usize)
}

/// Another descriptor for the same open file, the lowest free or the one that is named.
pub fn dup(fd: u32, to: Option<u32>) -> Result<u32> {
    let to = to.map_or(u64::MAX, u64::from);
    plain(Call::Dup, [u64::from(fd), to, 0, 0, 0, 0]).map(|fd| fd as u32)
}

/// Moves the position.
pub fn lseek(fd: u32, offset: i64, from: Seek) -> Result<u64> {
    plain(Call::Lseek, [u64::from(fd), offset as u64, from as u64, 0, 0, 0])
}

/// About an open file.
pub fn fstat(fd: u32) -> Result<Stat> {
    let mut stat = Stat::default();
    filling(Call::Fstat, [u64::from(fd), 0, 0, 0, 0, 0], 1, &mut stat)?;
    Ok(stat)
}

/// About a file by its path.
pub fn stat(path: &[u8]) -> Result<Stat> {
    let (mut stat, (address, len)) = (Stat::default(), parts(path));
    filling(Call::Stat, [address, len, 0, 0, 0, 0], 2, &mut stat)?;
    Ok(stat)
}

/// Makes a directory.
pub fn mkdir(path: &[u8]) -> Result<()> {
    one_path(Call::Mkdir, path).map(|_| ())
}

/// Removes a name.
pub fn unlink(path: &[u8]) -> Result<()> {
    one_path(Call::Unlink, path).map(|_| ())
}

/// Gives a file another name.
pub fn link(old: &[u8], new: &[u8]) -> Result<()> {
    two_paths(Call::Link, old, new)
}

/// Changes a file's name.
pub fn rename(old: &[u8], new: &[u8]) -> Result<()> {
    two_paths(Call::Rename, old, new)
}

/// Changes the directory that paths begin at.
pub fn chdir(path: &[u8]) -> Result<()> {
    one_path(Call::Chdir, path).map(|_| ())
}

/// That directory: bytes of its path.
pub fn getcwd(buffer: &mut [u8]) -> Result<usize> {
    let args = [0, buffer.len() as u64, 0, 0, 0, 0];
    filling(Call::Getcwd, args, 0, buffer).map(|count| count as usize)
}

/// A place for an entry of a directory.
pub const NO_ENTRY: DirEntry = DirEntry { inode: 0, kind: 0, name_len: 0, name: [0; NAME_MAX + 1] };

/// The next entries of a directory; 0 at the end.
pub fn getdents(fd: u32, entries: &mut [DirEntry]) -> Result<usize> {
    let args = [u64::from(fd), 0, entries.len() as u64, 0, 0, 0];
    filling(Call::Getdents, args, 1, entries).map(|count| count as usize)
}

/// Returns when what was written is on the disk.
pub fn fsync(fd: u32) -> Result<()> {
    plain(Call::Fsync, [u64::from(fd), 0, 0, 0, 0, 0]).map(|_| ())
}

/// A pipe: the end to read, the end to write.
pub fn pipe() -> Result<[u32; 2]> {
    let mut ends = [0u32; 2];
    filling(Call::Pipe, [0; 6], 0, &mut ends)?;
    Ok(ends)
}

/// About a mount by its number.
pub fn statfs(index: u64) -> Result<StatFs> {
    let mut found = StatFs::new_zeroed();
    filling(Call::Statfs, [index, 0, 0, 0, 0, 0], 1, &mut found)?;
    Ok(found)
}

/// Mounts a device.
pub fn mount(device: &[u8], path: &[u8]) -> Result<()> {
    two_paths(Call::Mount, device, path)
}

/// Undoes that.
pub fn umount(path: &[u8]) -> Result<()> {
    one_path(Call::Umount, path).map(|_| ())
}

/// About memory.
pub fn memory() -> Result<MemoryInfo> {
    let mut info = MemoryInfo::default();
    filling(Call::Memory, [0; 6], 0, &mut info)?;
    Ok(info)
}

/// Processes: how many entries were filled.
pub fn processes(entries: &mut [Process]) -> Result<usize> {
    let args = [0, entries.len() as u64, 0, 0, 0, 0];
    filling(Call::Processes, args, 0, entries).map(|count| count as usize)
}

/// Turns the machine off, or starts it again.
pub fn poweroff(reboot: bool) -> Errno {
    let answer = plain(Call::Poweroff, [u64::from(reboot), 0, 0, 0, 0, 0]);
    answer.err().unwrap_or(Errno::EINVAL)
}

/// Asks another machine for an answer: the time it took.
pub fn ping(address: u32, bytes: u64, timeout_ns: u64) -> Result<u64> {
    plain(Call::Ping, [u64::from(address), bytes, timeout_ns, 0, 0, 0])
}

/// Connects by TCP: a descriptor.
pub fn connect(address: u32, port: u16, timeout_ns: u64) -> Result<u32> {
    let args = [u64::from(address), u64::from(port), timeout_ns, 0, 0, 0];
    plain(Call::Connect, args).map(|fd| fd as u32)
}

/// Accepts TCP connections from now on, at 127.0.0.1 or, with 0, at the card's address: a descriptor.
pub fn listen(address: u32, port: u16, backlog: u64) -> Result<u32> {
    let args = [u64::from(address), u64::from(port), backlog, 0, 0, 0];
    plain(Call::Listen, args).map(|fd| fd as u32)
}

/// Waits for a connection: its descriptor.
pub fn accept(fd: u32, timeout_ns: u64) -> Result<u32> {
    plain(Call::Accept, [u64::from(fd), timeout_ns, 0, 0, 0, 0]).map(|fd| fd as u32)
}

/// The address of a name.
pub fn resolve(name: &[u8]) -> Result<u32> {
    one_path(Call::Resolve, name).map(|address| address as u32)
}

/// Changes a file's size.
pub fn truncate(fd: u32, size: u64) -> Result<()> {
    plain(Call::Truncate, [u64::from(fd), size, 0, 0, 0, 0]).map(|_| ())
}
