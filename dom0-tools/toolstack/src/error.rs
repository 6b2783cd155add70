//! One line for the person, one status for the script.
//!
//! Everything of this crate that a verb can call fails with a `ToolError`. Its text names what was
//! tried, with which value, which rule was broken and what to try next.
//!
//! Invariant: the text is one line.

use crate::config::ConfigError;
use alloc::format;
use alloc::string::String;
use core::fmt;
use hypercall_abi::Errno;

/// Exit status of a verb.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Status {
    /// Done.
    Ok = 0,
    /// Tried and failed.
    Failed = 1,
    /// The command line makes no sense.
    Usage = 2,
    /// There is no such domain.
    NoDomain = 3,
    /// It took too long.
    Timeout = 4,
    /// The domain or the hypervisor refused.
    Refused = 5,
    /// The control domain could not be reached, or did not accept the token.
    Unreachable = 6,
}

impl Status {
    /// The number a shell shows.
    #[must_use]
    pub fn number(self) -> u8 {
        self as u8
    }

    /// The status with this number; one that is none is a failure.
    #[must_use]
    pub fn from_number(number: u8) -> Self {
        let all = [Self::Ok, Self::Usage, Self::NoDomain, Self::Timeout, Self::Refused];
        let mut all = all.into_iter().chain([Self::Unreachable]);
        all.find(|status| status.number() == number).unwrap_or(Self::Failed)
    }
}

/// Why a verb failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToolError {
    /// For scripts.
    pub status: Status,
    /// For people.
    pub text: String,
}

impl ToolError {
    /// A failure with this text.
    pub fn failed(text: impl Into<String>) -> Self {
        Self { status: Status::Failed, text: text.into() }
    }

    /// A command line that makes no sense.
    pub fn usage(text: impl Into<String>) -> Self {
        Self { status: Status::Usage, text: text.into() }
    }

    /// A domain that does not exist.
    pub fn no_domain(text: impl Into<String>) -> Self {
        Self { status: Status::NoDomain, text: text.into() }
    }

    /// Something that is not allowed in the present state.
    pub fn refused(text: impl Into<String>) -> Self {
        Self { status: Status::Refused, text: text.into() }
    }

    /// A hypercall that failed: its name, the argument that matters, the error, and what to try.
    pub fn hypercall(
        call: &'static str,
        argument: fmt::Arguments<'_>,
        errno: Errno,
        advice: &str,
    ) -> Self {
        let status = match errno {
            Errno::ESRCH => Status::NoDomain,
            Errno::EPERM | Errno::EACCES => Status::Refused,
            _ => Status::Failed,
        };
        let text =
            format!("{call} ({argument}) failed: {}, {}; {advice}", errno.name(), errno.text());
        Self { status, text }
    }
}

impl From<ConfigError> for ToolError {
    fn from(error: ConfigError) -> Self {
        Self::failed(format!("{error}"))
    }
}

impl fmt::Display for ToolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl core::error::Error for ToolError {}
