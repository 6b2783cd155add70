//! The error numbers of the interface (Linux numbering, `xen/errno.h`).
//!
//! Used by everyone who makes or answers a hypercall. A failing call returns the negated number in
//! `rax`; `Errno::to_ret` and `Errno::from_ret` are the only two places where the sign changes.

/// Largest number that can be an error; return values below its negation are not errors.
pub const MAX_ERRNO: i64 = 4095;

macro_rules! errnos {
    ($($(#[$meta:meta])* $name:ident = $value:literal, $text:literal;)+) => {
        /// An error number of the hypervisor interface.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(i32)]
        #[non_exhaustive]
        pub enum Errno {
            $($(#[$meta])* #[doc = $text] $name = $value,)+
        }

        impl Errno {
            /// Every error number, ascending.
            pub const ALL: &'static [Errno] = &[$(Errno::$name),+];

            /// The name as the headers and the xenstore protocol spell it.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Errno::$name => stringify!($name),)+
                }
            }

            /// A short text for people.
            #[must_use]
            pub const fn text(self) -> &'static str {
                match self {
                    $(Errno::$name => $text,)+
                }
            }
        }
    };
}

errnos! {
    EPERM = 1, "operation not permitted";
    ENOENT = 2, "no such entry";
    ESRCH = 3, "no such domain or vCPU";
    EINTR = 4, "interrupted";
    EIO = 5, "input/output error";
    ENXIO = 6, "no such device or address";
    E2BIG = 7, "list too long";
    ENOEXEC = 8, "not an executable format";
    EBADF = 9, "bad file number";
    ECHILD = 10, "no child";
    EAGAIN = 11, "try again";
    ENOMEM = 12, "out of memory";
    EACCES = 13, "permission denied";
    EFAULT = 14, "bad address";
    EBUSY = 16, "busy";
    EEXIST = 17, "already exists";
    EXDEV = 18, "crosses devices";
    ENODEV = 19, "no such device";
    ENOTDIR = 20, "not a directory";
    EISDIR = 21, "is a directory";
    EINVAL = 22, "invalid argument";
    ENFILE = 23, "table overflow";
    EMFILE = 24, "too many open files";
    ENOSPC = 28, "no space left";
    EROFS = 30, "read-only";
    EMLINK = 31, "too many links";
    EDOM = 33, "argument out of domain";
    ERANGE = 34, "out of range";
    EDEADLK = 35, "deadlock";
    ENAMETOOLONG = 36, "name too long";
    ENOLCK = 37, "no locks available";
    ENOSYS = 38, "not implemented";
    ENOTEMPTY = 39, "not empty";
    ENODATA = 61, "no data";
    ETIME = 62, "timer expired";
    EBADMSG = 74, "bad message";
    EOVERFLOW = 75, "value too large";
    EILSEQ = 84, "illegal byte sequence";
    ERESTART = 85, "restart the call; never seen by a guest";
    ENOTSOCK = 88, "not a socket";
    EMSGSIZE = 90, "message too large";
    EOPNOTSUPP = 95, "not supported";
    EADDRINUSE = 98, "address in use";
    EADDRNOTAVAIL = 99, "address not available";
    ENOBUFS = 105, "buffer too small";
    EISCONN = 106, "already connected";
    ENOTCONN = 107, "not connected";
    ETIMEDOUT = 110, "timed out";
    ECONNREFUSED = 111, "connection refused";
}

impl Errno {
    /// The positive number.
    #[must_use]
    pub const fn number(self) -> i32 {
        self as i32
    }

    /// The value a hypercall returns in `rax`: the negated number.
    #[must_use]
    pub const fn to_ret(self) -> i64 {
        -(self as i64)
    }

    /// The error behind a hypercall's return value; `None` for success and for unknown numbers.
    #[must_use]
    pub fn from_ret(ret: i64) -> Option<Self> {
        ret.checked_neg().and_then(Self::from_number)
    }

    /// The error with this positive number.
    #[must_use]
    pub fn from_number(number: i64) -> Option<Self> {
        Self::ALL.iter().copied().find(|errno| *errno as i64 == number)
    }

    /// The error with this name, as xenstore replies carry it.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|errno| errno.name() == name)
    }

    /// Splits a return value: `Ok` for zero and above, `Err` for an error number. A negative
    /// number outside the list becomes `EINVAL`, so that no failure passes as success.
    pub fn check(ret: i64) -> Result<u64, Self> {
        match u64::try_from(ret) {
            Ok(value) => Ok(value),
            Err(_) => Err(Self::from_ret(ret).unwrap_or(Self::EINVAL)),
        }
    }
}

impl core::fmt::Display for Errno {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{} ({})", self.name(), self.text())
    }
}

impl core::error::Error for Errno {}
