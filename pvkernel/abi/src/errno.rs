//! Why a system call failed.

macro_rules! errnos {
    ($($name:ident = $number:literal, $text:literal;)*) => {
        /// Why a system call failed; numbers as in Linux.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(i32)]
        pub enum Errno {
            $(#[doc = $text] $name = $number,)*
        }

        impl Errno {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// A sentence's end for people.
            #[must_use]
            pub const fn text(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)*
                }
            }

            /// Its name.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$name => stringify!($name),)*
                }
            }
        }
    };
}

errnos! {
    EPERM = 1, "not permitted";
    ENOENT = 2, "no such file or directory";
    ESRCH = 3, "no such process";
    EIO = 5, "the device failed";
    E2BIG = 7, "too many arguments";
    ENOEXEC = 8, "not a program for this machine";
    EBADF = 9, "not an open descriptor";
    ECHILD = 10, "no child to wait for";
    EAGAIN = 11, "try again";
    ENOMEM = 12, "not enough memory";
    EFAULT = 14, "bad address";
    EBUSY = 16, "in use";
    EEXIST = 17, "exists already";
    EXDEV = 18, "on another file system";
    ENODEV = 19, "no such device";
    ENOTDIR = 20, "not a directory";
    EISDIR = 21, "a directory";
    EINVAL = 22, "invalid argument";
    ENFILE = 23, "too many open files in the system";
    EMFILE = 24, "too many open files";
    ENOTTY = 25, "not a terminal";
    EFBIG = 27, "file too large";
    ENOSPC = 28, "no space left on the file system";
    ESPIPE = 29, "a pipe or device has no position";
    EROFS = 30, "read-only file system";
    EMLINK = 31, "too many links";
    EPIPE = 32, "nobody reads the pipe";
    ENAMETOOLONG = 36, "name too long";
    ENOSYS = 38, "no such system call";
    ENOTEMPTY = 39, "directory not empty";
    ELOOP = 40, "too many links followed";
    EOVERFLOW = 75, "number too large";
    EADDRINUSE = 98, "address in use";
    EADDRNOTAVAIL = 99, "no such address";
    ENETDOWN = 100, "no network";
    ECONNRESET = 104, "connection reset";
    ETIMEDOUT = 110, "timed out";
    ECONNREFUSED = 111, "connection refused";
}

impl Errno {
    /// The error behind the answer of a system call.
    ///
    /// # Errors
    /// The error; an unknown number becomes `EINVAL`.
    pub fn check(answer: i64) -> Result<u64, Self> {
        if answer >= 0 {
            return Ok(answer as u64);
        }
        let found = Self::ALL.iter().find(|errno| **errno as i64 == -answer);
        Err(found.copied().unwrap_or(Self::EINVAL))
    }

    /// The answer of a system call that fails with this.
    #[must_use]
    pub const fn answer(self) -> i64 {
        -(self as i64)
    }
}
