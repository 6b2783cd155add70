//! The page of hypercall stubs that older guests ask for.
//!
//! 128 slots of 32 bytes, one per hypercall number. Filled when the toolstack's builder asks on
//! behalf of the guest, or when the guest writes the MSR of the `cpuid` leaves.

use hv_core::page::{self, PageError};
use hv_machine::directmap;
use hypercall_abi::addr::Mfn;
use hypercall_abi::errno::Errno;
use hypercall_abi::nr;

use crate::domain::Domain;
use crate::host::Host;

const SLOT_BYTES: usize = 32;
const SLOTS: usize = 128;
/// `int3`, in all bytes no stub uses.
const FILLER: u8 = 0xcc;

/// Fills a frame of a domain with the stubs.
///
/// # Errors
/// `EINVAL` for a frame that is not the domain's, `EPERM` for one in use as a table.
pub fn install(dom: &Domain, mfn: Mfn) -> Result<(), Errno> {
    let held = page::get_writable(&Host, mfn, dom.id).map_err(|error| match error {
        PageError::TypeConflict => Errno::EPERM,
        _ => Errno::EINVAL,
    })?;
    directmap::write_bytes(mfn, 0, &[FILLER; SLOT_BYTES * SLOTS]);
    for slot in 0..SLOTS as u32 {
        let at = slot as usize * SLOT_BYTES;
        if u64::from(slot) == nr::IRET {
            directmap::write_bytes(mfn, at, &iret_stub(slot));
        } else {
            directmap::write_bytes(mfn, at, &stub(slot));
        }
    }
    page::put_writable(&Host, held);
    Ok(())
}

/// push rcx; push r11; mov eax, number; syscall; pop r11; pop rcx; ret
fn stub(number: u32) -> [u8; 14] {
    let [a, b, c, d] = number.to_le_bytes();
    [0x51, 0x41, 0x53, 0xb8, a, b, c, d, 0x0f, 0x05, 0x41, 0x5b, 0x59, 0xc3]
}

/// push rcx; push r11; push rax; mov eax, number; syscall: the pushes are part of the frame.
fn iret_stub(number: u32) -> [u8; 11] {
    let [a, b, c, d] = number.to_le_bytes();
    [0x51, 0x41, 0x53, 0x50, 0xb8, a, b, c, d, 0x0f, 0x05]
}
