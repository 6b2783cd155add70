//! Small programs on a stack: what a person types to see whether a network works.
//!
//! dom0's shell and the appliances run them. Each prints through a closure, ends when it is told to,
//! and leaves no socket behind.

pub mod bulk;
pub mod fetch;
pub mod ping;

use alloc::string::String;
use core::net::{Ipv4Addr, SocketAddrV4};

use super::{NetError, Stack};

/// Splits `HOST:PORT`; the port may be missing.
///
/// # Errors
/// `BadAddress` when the port is no number from 1 to 65535, `BadName` without a host.
pub fn split_port(text: &str, default: u16) -> Result<(&str, u16), NetError> {
    let (host, port) = match text.split_once(':') {
        None => (text, default),
        Some((host, port)) => (host, port.parse().map_err(|_| NetError::BadAddress)?),
    };
    match (host.is_empty(), port) {
        (true, _) => Err(NetError::BadName),
        (false, 0) => Err(NetError::BadAddress),
        (false, port) => Ok((host, port)),
    }
}

/// The first address of a host, which may be a name.
///
/// # Errors
/// As `Stack::resolve`.
pub fn look_up(stack: &Stack, host: &str, deadline_ns: Option<u64>) -> Result<Ipv4Addr, NetError> {
    stack.resolve(host, deadline_ns)?.first().copied().ok_or(NetError::UnknownName)
}

/// The address and port of `HOST:PORT`.
///
/// # Errors
/// As `split_port` and `look_up`.
pub fn endpoint(
    stack: &Stack,
    text: &str,
    default: u16,
    deadline_ns: Option<u64>,
) -> Result<SocketAddrV4, NetError> {
    let (host, port) = split_port(text, default)?;
    Ok(SocketAddrV4::new(look_up(stack, host, deadline_ns)?, port))
}

/// Nanoseconds as milliseconds with three places.
pub(super) fn ms(ns: u64) -> String {
    alloc::format!("{}.{:03}", ns / 1_000_000, ns / 1_000 % 1_000)
}
