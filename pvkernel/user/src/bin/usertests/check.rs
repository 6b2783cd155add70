//! What cases say with: each check gives a failure that names its place.

use alloc::format;
use alloc::string::String;
use core::fmt::{self, Debug};
use core::panic::Location;

use pvkernel_user::process::{in_child, wait_for, Status};
use pvkernel_user::{println, sys, Errno, File, Result};

/// What was not as it must be, and where.
pub struct Failure {
    text: String,
    place: &'static Location<'static>,
}

/// A case's end.
pub type Check = core::result::Result<(), Failure>;

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let file = pvkernel_user::text::base_name(self.place.file());
        write!(f, "{file}:{}: {}", self.place.line(), self.text)
    }
}

impl From<Errno> for Failure {
    #[track_caller]
    fn from(why: Errno) -> Self {
        Self { text: format!("{} ({})", why.text(), why.name()), place: Location::caller() }
    }
}

/// A failure with words of one's own.
#[track_caller]
pub fn fail(text: String) -> Failure {
    Failure { text, place: Location::caller() }
}

/// It must hold.
#[track_caller]
pub fn holds(holds: bool, what: &str) -> Check {
    match holds {
        true => Ok(()),
        false => Err(fail(format!("this does not hold: {what}"))),
    }
}

/// It must be this.
#[track_caller]
pub fn same<T: PartialEq + Debug>(found: T, wanted: T) -> Check {
    match found == wanted {
        true => Ok(()),
        false => Err(fail(format!("found {found:?}, wanted {wanted:?}"))),
    }
}

/// It must fail with one of these.
#[track_caller]
pub fn refused<T: Debug>(found: Result<T>, why: &[Errno]) -> Check {
    match found {
        Err(found) if why.contains(&found) => Ok(()),
        found => Err(fail(format!("found {found:?}, wanted {why:?}"))),
    }
}

/// Runs a part of a case in a child.
pub fn start(run: impl FnOnce() -> Check) -> Result<u32> {
    in_child(|| match run() {
        Ok(()) => 0,
        Err(failure) => {
            println!("usertests: in a child: {failure}");
            1
        }
    })
}

/// A part that was started must end well.
#[track_caller]
pub fn ends_well(pid: u32) -> Check {
    same(wait_for(pid)?, Status(0))
}

/// Runs a part in a child, which must end well.
#[track_caller]
pub fn in_fork(run: impl FnOnce() -> Check) -> Check {
    let pid = start(run)?;
    ends_well(pid)
}

/// Runs something in a child: how that ended.
pub fn end_of(run: impl FnOnce()) -> Result<Status> {
    let pid = in_child(|| {
        run();
        0
    })?;
    wait_for(pid)
}

/// Closes a child's copy of an open file. The `File` is the parent's, and is dropped there only.
pub fn close(file: &File) {
    // It was open.
    let _ = sys::close(file.fd());
}
