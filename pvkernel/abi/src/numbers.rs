//! Numbers of system calls and bits of their arguments.

macro_rules! calls {
    ($($name:ident = $number:literal, $text:literal;)*) => {
        /// A system call. Text arguments are an address and a length.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u64)]
        pub enum Call {
            $(#[doc = $text] $name = $number,)*
        }

        impl Call {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// The call with a number.
            #[must_use]
            pub const fn of(number: u64) -> Option<Self> {
                match number {
                    $($number => Some(Self::$name),)*
                    _ => None,
                }
            }
        }
    };
}

calls! {
    Null = 0, "does nothing, for measuring";
    Getpid = 1, "`getpid()`";
    Getppid = 2, "`getppid()`: 0 when the parent has ended";
    Exit = 3, "`exit(status)`: ends the process";
    Fork = 4, "`fork()`: the child's number, 0 in the child";
    Wait = 5, "`wait(pid or -1, &mut i32 or 0, flags)`: number of the child that ended; 0 with `NOHANG` if none has";
    Exec = 6, "`exec(path, len, *Text, count)`: becomes another program with these arguments";
    Kill = 7, "`kill(pid)`: ends a process at its next system call, wait or interrupt";
    Yield = 8, "`yield()`";
    SleepNs = 9, "`sleep_ns(duration)`";
    ClockNs = 10, "`clock_ns()`: time since the kernel started";
    WallClock = 11, "`wall_clock(&mut [u64; 2])`: seconds and nanoseconds since 1970";
    Sbrk = 12, "`sbrk(change in bytes)`: the end of the heap before";
    Open = 13, "`open(path, len, flags)`: the lowest free descriptor";
    Close = 14, "`close(fd)`";
    Read = 15, "`read(fd, buffer, len)`: bytes; 0 at the end";
    Write = 16, "`write(fd, buffer, len)`: bytes";
    Dup = 17, "`dup(fd, to or -1)`: the new descriptor; what `to` was is closed";
    Lseek = 18, "`lseek(fd, offset, Seek)`: the new position";
    Fstat = 19, "`fstat(fd, &mut Stat)`";
    Stat = 20, "`stat(path, len, &mut Stat)`";
    Mkdir = 21, "`mkdir(path, len)`";
    Unlink = 22, "`unlink(path, len)`: a file, or an empty directory";
    Link = 23, "`link(old, len, new, len)`";
    Rename = 24, "`rename(old, len, new, len)`";
    Chdir = 25, "`chdir(path, len)`";
    Getcwd = 26, "`getcwd(buffer, len)`: bytes";
    Getdents = 27, "`getdents(fd, *mut DirEntry, count)`: entries; 0 at the end";
    Fsync = 28, "`fsync(fd)`";
    Pipe = 29, "`pipe(&mut [u32; 2])`: the end to read, the end to write";
    Statfs = 30, "`statfs(index of the mount, &mut StatFs)`: `ENOENT` behind the last";
    Mount = 31, "`mount(device, len, path, len)`: a block device of `/dev` with ext4";
    Umount = 32, "`umount(path, len)`";
    Memory = 33, "`memory(&mut MemoryInfo)`";
    Processes = 34, "`processes(*mut Process, count)`: entries";
    Poweroff = 35, "`poweroff(0, or 1 to reboot)`";
    Ping = 36, "`ping(IPv4 address, bytes, timeout in ns)`: round trip in ns";
    Connect = 37, "`connect(IPv4 address, port, timeout in ns)`: a descriptor of a TCP connection";
    Resolve = 38, "`resolve(name, len)`: the IPv4 address, first byte highest";
    Truncate = 39, "`truncate(fd, size)`";
    Listen = 40, "`listen(127.0.0.1, or 0 for the card's address, port, backlog)`: a descriptor to accept from";
    Accept = 41, "`accept(fd, timeout in ns)`: a descriptor of a TCP connection";
}

/// Bits of `open`'s flags.
pub mod open {
    /// For reading.
    pub const READ: u64 = 1;
    /// For writing.
    pub const WRITE: u64 = 2;
    /// Made if it is not there.
    pub const CREATE: u64 = 4;
    /// Refused if it is there; with `CREATE`.
    pub const EXCLUSIVE: u64 = 8;
    /// Emptied.
    pub const TRUNCATE: u64 = 16;
    /// Each write goes behind the end.
    pub const APPEND: u64 = 32;
    /// Closed by `exec`.
    pub const CLOSE_ON_EXEC: u64 = 64;
    /// Refused if it is no directory.
    pub const DIRECTORY: u64 = 128;
}

/// Bits of `wait`'s flags.
pub mod wait {
    /// Does not wait.
    pub const NOHANG: u64 = 1;
}

/// From where `lseek` counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub enum Seek {
    /// The beginning.
    Start = 0,
    /// The position.
    Current = 1,
    /// The end.
    End = 2,
}
