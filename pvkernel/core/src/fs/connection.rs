//! TCP connections as files, and the other system calls of the network.

use alloc::sync::Arc;
use core::net::{Ipv4Addr, SocketAddrV4};
use pvkernel_abi::{open, Errno, FileKind, Stat};

use super::file::{File, GiveUp};
use super::table::FileTable;
use crate::net::{NetError, Pinger, Stack, TcpListener, TcpOptions, TcpStream};

/// How long a name is looked for.
const RESOLVE_NS: u64 = 15_000_000_000;
/// Bytes of a host's name.
const HOST_MAX: usize = 253;

/// Connections that may wait to be accepted, whatever a program asks for: each has its buffers.
const BACKLOG_MAX: u64 = 8;

struct Connection(TcpStream);

impl File for Connection {
    fn read(&self, _: u64, to: &mut [u8], give_up: GiveUp<'_>) -> Result<usize, Errno> {
        self.0.read_unless(to, None, give_up).map_err(errno)
    }

    fn write(&self, _: u64, from: &[u8], give_up: GiveUp<'_>) -> Result<usize, Errno> {
        self.0.write_unless(from, None, give_up).map_err(errno)
    }

    fn stat(&self) -> Stat {
        Stat { kind: FileKind::Character as u32, ..Stat::default() }
    }
}

/// A port at which connections arrive.
struct Listener {
    stack: &'static Stack,
    listener: TcpListener,
}

impl File for Listener {
    fn read(&self, _: u64, _: &mut [u8], _: GiveUp<'_>) -> Result<usize, Errno> {
        Err(Errno::EINVAL)
    }

    fn write(&self, _: u64, _: &[u8], _: GiveUp<'_>) -> Result<usize, Errno> {
        Err(Errno::EINVAL)
    }

    fn stat(&self) -> Stat {
        Stat { kind: FileKind::Character as u32, links: 1, ..Stat::default() }
    }

    fn accept(&self, timeout_ns: u64, give_up: GiveUp<'_>) -> Result<Arc<dyn File>, Errno> {
        super::check_memory()?;
        let deadline_ns = self.stack.kernel().now_ns().saturating_add(timeout_ns);
        let stream = self.listener.accept_unless(Some(deadline_ns), give_up).map_err(errno)?;
        Ok(Arc::new(Connection(stream)))
    }
}

const fn errno(error: NetError) -> Errno {
    match error {
        NetError::BadDevice | NetError::NoAddress => Errno::ENETDOWN,
        NetError::BadAddress | NetError::UnknownName => Errno::EADDRNOTAVAIL,
        NetError::InUse => Errno::EADDRINUSE,
        NetError::TooManySockets => Errno::EAGAIN,
        NetError::NoMemory => Errno::ENOMEM,
        NetError::Refused => Errno::ECONNREFUSED,
        NetError::Reset => Errno::ECONNRESET,
        NetError::Closed => Errno::EPIPE,
        NetError::TimedOut => Errno::ETIMEDOUT,
        NetError::TooLong | NetError::BadName => Errno::EINVAL,
    }
}

/// An address as system calls have it: the first byte highest.
fn address(number: u64) -> Result<Ipv4Addr, Errno> {
    u32::try_from(number).map(Ipv4Addr::from_bits).map_err(|_| Errno::EINVAL)
}

/// `connect`: the descriptor.
///
/// # Errors
/// As POSIX has them, and `ENETDOWN` without an address of one's own.
pub fn connect(
    stack: &'static Stack,
    table: &FileTable,
    (to, port): (u64, u64),
    timeout_ns: u64,
    give_up: GiveUp<'_>,
) -> Result<u64, Errno> {
    let port = u16::try_from(port).map_err(|_| Errno::EINVAL)?;
    let peer = SocketAddrV4::new(address(to)?, port);
    super::check_memory()?;
    let deadline_ns = Some(stack.kernel().now_ns().saturating_add(timeout_ns));
    let options = TcpOptions::default();
    let stream = TcpStream::connect_unless(stack, peer, options, deadline_ns, give_up);
    let file = Arc::new(Connection(stream.map_err(errno)?));
    table.install(file, open::READ | open::WRITE)
}

/// `listen`: the descriptor. The address is the stack's own, or 0 for whatever that is.
///
/// # Errors
/// `EADDRNOTAVAIL` for another address and for port 0, `EADDRINUSE`, `EINVAL`, `ENOMEM`.
pub fn listen(
    stack: &'static Stack,
    table: &FileTable,
    (at, port): (u64, u64),
    backlog: u64,
) -> Result<u64, Errno> {
    let port = u16::try_from(port).map_err(|_| Errno::EINVAL)?;
    let at = address(at)?;
    if !at.is_unspecified() && stack.address() != Some(at) {
        return Err(Errno::EADDRNOTAVAIL);
    }
    super::check_memory()?;
    let backlog = backlog.clamp(1, BACKLOG_MAX) as usize;
    let listener = TcpListener::bind(stack, port, backlog, TcpOptions::default());
    let file = Arc::new(Listener { stack, listener: listener.map_err(errno)? });
    table.install(file, open::READ | open::WRITE)
}

/// `ping`: the round trip in nanoseconds.
///
/// # Errors
/// `ETIMEDOUT`, `EINVAL` for more than a packet carries, `ENETDOWN`.
pub fn ping(
    stack: &'static Stack,
    to: u64,
    bytes: u64,
    timeout_ns: u64,
    give_up: GiveUp<'_>,
) -> Result<u64, Errno> {
    let len = u16::try_from(bytes).map_err(|_| Errno::EINVAL)?;
    super::check_memory()?;
    let pinger = Pinger::open(stack, len.into()).map_err(errno)?;
    let echo = pinger.ping_unless(address(to)?, 1, timeout_ns, give_up);
    echo.map(|echo| echo.took_ns).map_err(errno)
}

/// `resolve`: the address of a name.
///
/// # Errors
/// `EADDRNOTAVAIL` if nobody knows it, `EINVAL` if it can be none, `ETIMEDOUT`.
pub fn resolve(stack: &Stack, name: &[u8], give_up: GiveUp<'_>) -> Result<u64, Errno> {
    let name = core::str::from_utf8(name).ok().filter(|name| name.len() <= HOST_MAX);
    let name = name.ok_or(Errno::EINVAL)?;
    super::check_memory()?;
    let deadline_ns = Some(stack.kernel().now_ns().saturating_add(RESOLVE_NS));
    let found = stack.resolve_unless(name, deadline_ns, give_up).map_err(errno)?;
    let first = found.first().ok_or(Errno::EADDRNOTAVAIL)?;
    Ok(u64::from(first.to_bits()))
}
