//! `console_io`: the machine's serial port, for the control domain.
//!
//! Other domains are refused with `EPERM`, as a release build of Xen does.

use hv_machine::serial;
use hypercall_abi::console::{CONSOLEIO_READ, CONSOLEIO_WRITE};
use hypercall_abi::Errno;

use super::{ensure, Answer, Call, End};
use crate::guestmem;

/// Bytes handled before the guest gets a chance to take an interrupt.
const CHUNK: usize = 128;

/// `console_io(cmd, count, buffer)`.
pub fn console_io(call: &mut Call<'_>) -> Answer {
    call.privileged()?;
    match call.args[0] as u32 {
        CONSOLEIO_WRITE => write(call),
        CONSOLEIO_READ => read(call),
        _ => Err(Errno::ENOSYS.into()),
    }
}

fn write(call: &mut Call<'_>) -> Answer {
    let [_, count, buffer, ..] = call.args;
    let count = count as u32 as usize;
    let now = count.min(CHUNK);
    let mut bytes = [0u8; CHUNK];
    let chunk = bytes.get_mut(..now).unwrap_or_default();
    guestmem::read_bytes(buffer, chunk)?;
    serial::write_bytes(chunk);
    if now == count {
        return Ok(0);
    }
    call.args[1] = (count - now) as u64;
    call.args[2] = buffer.wrapping_add(now as u64);
    Err(End::AGAIN)
}

fn read(call: &Call<'_>) -> Answer {
    let [_, count, buffer, ..] = call.args;
    let count = count as u32;
    ensure(i32::try_from(count).is_ok(), Errno::E2BIG)?;
    let mut bytes = [0u8; CHUNK];
    let mut taken = 0;
    for slot in bytes.iter_mut().take(count as usize) {
        let Some(byte) = serial::read_byte() else { break };
        *slot = byte;
        taken += 1;
    }
    guestmem::write_bytes(buffer, bytes.get(..taken).unwrap_or_default())?;
    Ok(taken as i64)
}
