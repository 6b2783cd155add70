//! Processes: start them, wait for them, say how they ended.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use pvkernel_abi::{wait, Text, STATUS_FAULT, STATUS_KILLED};

use crate::{sys, Errno, Result};

/// Status of a child that could not become the program.
pub const STATUS_NO_EXEC: i32 = 126;
/// Status of a child whose program there is not.
pub const STATUS_NOT_FOUND: i32 = 127;

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status(pub i32);

impl Status {
    /// It said that all was well.
    #[must_use]
    pub const fn is_success(self) -> bool {
        self.0 == 0
    }

    /// The exception that ended it.
    #[must_use]
    pub const fn fault(self) -> Option<i32> {
        let vector = self.0 - STATUS_FAULT;
        if vector >= 0 && vector < 32 {
            return Some(vector);
        }
        None
    }

    /// It was killed.
    #[must_use]
    pub const fn is_killed(self) -> bool {
        self.0 == STATUS_KILLED
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.fault() {
            Some(vector) => write!(f, "exception {vector}"),
            None if self.is_killed() => f.write_str("killed"),
            None => write!(f, "status {}", self.0),
        }
    }
}

/// Becomes a program; comes back only with an error. A name without a slash is one of `/bin`.
pub fn exec<T: AsRef<str>>(program: &str, args: &[T]) -> Errno {
    let path = match program.contains('/') {
        true => String::from(program),
        false => crate::text::join("/bin", program),
    };
    let text =
        |arg: &T| Text { address: arg.as_ref().as_ptr() as u64, len: arg.as_ref().len() as u64 };
    let texts: Vec<Text> = args.iter().map(text).collect();
    sys::exec(path.as_bytes(), &texts)
}

/// The status of a child that could not become a program.
#[must_use]
pub const fn exec_status(why: Errno) -> i32 {
    match why {
        Errno::ENOENT => STATUS_NOT_FOUND,
        _ => STATUS_NO_EXEC,
    }
}

/// Starts a program with the descriptors of this one; the first of `args` is its name.
///
/// # Errors
/// Those of `fork`. A program that cannot run says so and ends with 126 or 127.
pub fn spawn(args: &[&str]) -> Result<u32> {
    in_child(|| {
        let program = args.first().copied().unwrap_or_default();
        let why = exec(program, args);
        crate::io::complain(program, why);
        exec_status(why)
    })
}

/// Runs a function in a child, whose status is what it gives.
///
/// # Errors
/// Those of `fork`.
pub fn in_child(run: impl FnOnce() -> i32) -> Result<u32> {
    match sys::fork()? {
        0 => sys::exit(run()),
        pid => Ok(pid),
    }
}

/// Waits for a child.
///
/// # Errors
/// `ECHILD` if it is none.
pub fn wait_for(pid: u32) -> Result<Status> {
    sys::wait(i64::from(pid), 0).map(|(_, status)| Status(status))
}

/// Waits for any child.
///
/// # Errors
/// `ECHILD` if there is none.
pub fn wait_any() -> Result<(u32, Status)> {
    sys::wait(-1, 0).map(|(pid, status)| (pid, Status(status)))
}

/// How a child ended, if it has.
///
/// # Errors
/// `ECHILD` if it is none.
pub fn poll(pid: u32) -> Result<Option<Status>> {
    let (ended, status) = sys::wait(i64::from(pid), wait::NOHANG)?;
    Ok((ended != 0).then_some(Status(status)))
}
