//! `console_io`: the machine's serial port, for the control domain.
//!
//! Other domains are refused with `EPERM`, as a release build of Xen does.

use hv_machine::serial;
use hypercall_abi::console::{CONSOLEIO_READ, CONSOLEIO_WRITE};
use hypercall_abi::errno::Errno;

use super::{Call, Outcome};
use crate::guestmem;

/// Bytes handled before the guest gets a chance to take an interrupt.
const CHUNK: usize = 128;

/// `console_io(cmd, count, buffer)`.
pub fn console_io(call: &mut Call<'_>) -> Outcome {
    if !call.here.dom().privileged {
        return Errno::EPERM.into();
    }
    match call.args[0] as u32 {
        CONSOLEIO_WRITE => write(call),
        CONSOLEIO_READ => read(call.args[1], call.args[2]).into(),
        _ => Errno::ENOSYS.into(),
    }
}

fn write(call: &mut Call<'_>) -> Outcome {
    let [_, count, buffer, ..] = call.args;
    let count = count as u32 as usize;
    let mut bytes = [0u8; CHUNK];
    let now = count.min(CHUNK);
    let Some(chunk) = bytes.get_mut(..now) else { return Errno::EINVAL.into() };
    if let Err(errno) = guestmem::read_bytes(buffer, chunk) {
        return errno.into();
    }
    serial::write_bytes(chunk);
    if now == count {
        return Outcome::Done(0);
    }
    call.args[1] = (count - now) as u64;
    call.args[2] = buffer.wrapping_add(now as u64);
    Outcome::Again
}

fn read(count: u64, buffer: u64) -> Result<i64, Errno> {
    let count = count as u32;
    if i32::try_from(count).is_err() {
        return Err(Errno::E2BIG);
    }
    let mut bytes = [0u8; CHUNK];
    let mut taken = 0;
    for slot in bytes.iter_mut().take(count as usize) {
        match serial::read_byte() {
            Some(byte) => *slot = byte,
            None => break,
        }
        taken += 1;
    }
    guestmem::write_bytes(buffer, bytes.get(..taken).unwrap_or_default())?;
    Ok(taken as i64)
}
