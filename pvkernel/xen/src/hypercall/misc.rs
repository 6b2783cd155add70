//! The small calls: console, timer, assistance, multicall.

use hypercall_abi::console::{CONSOLEIO_READ, CONSOLEIO_WRITE};
use hypercall_abi::multicall::MulticallEntry;
use hypercall_abi::{nr, Errno};

use super::{address_of, address_of_mut, done, raw};

/// Writes to the hypervisor's console.
///
/// # Errors
/// `EPERM` in an ordinary domain.
pub fn console_write(bytes: &[u8]) -> Result<(), Errno> {
    let args = [u64::from(CONSOLEIO_WRITE), bytes.len() as u64, address_of(bytes), 0, 0];
    // SAFETY: the buffer is valid for its length and only read.
    done(unsafe { raw(nr::CONSOLE_IO, args) })
}

/// Reads what was typed on the hypervisor's console; returns the number of bytes, 0 for none.
///
/// # Errors
/// `EPERM` in an ordinary domain.
pub fn console_read(bytes: &mut [u8]) -> Result<usize, Errno> {
    let room = bytes.len();
    let args = [u64::from(CONSOLEIO_READ), room as u64, address_of_mut(bytes), 0, 0];
    // SAFETY: the buffer is valid for its length and written up to it.
    let got = Errno::check(unsafe { raw(nr::CONSOLE_IO, args) })?;
    Ok(usize::try_from(got).unwrap_or(0).min(room))
}

/// Arms the one-shot timer for a system time; 0 disarms it.
///
/// # Errors
/// None that a conforming hypervisor returns.
pub fn set_timer_op(timeout_abs_ns: u64) -> Result<(), Errno> {
    // SAFETY: the argument is a number.
    done(unsafe { raw(nr::SET_TIMER_OP, [timeout_abs_ns, 0, 0, 0, 0]) })
}

/// Turns an assistance feature on or off.
///
/// # Errors
/// `ENOSYS` for an unknown command, `EINVAL` for an unknown feature.
pub fn vm_assist(cmd: u32, kind: u32) -> Result<(), Errno> {
    // SAFETY: the arguments are numbers; the features change what is emulated, not memory.
    done(unsafe { raw(nr::VM_ASSIST, [u64::from(cmd), u64::from(kind), 0, 0, 0]) })
}

/// Makes several calls at once; their results are in the entries.
///
/// # Safety
/// As for `raw`, for each entry.
///
/// # Errors
/// `EFAULT`, never for a valid slice.
pub unsafe fn multicall(entries: &mut [MulticallEntry]) -> Result<(), Errno> {
    let args = [address_of_mut(entries), entries.len() as u64, 0, 0, 0];
    // SAFETY: the list is valid; what the entries do is the caller's obligation.
    done(unsafe { raw(nr::MULTICALL, args) })
}
