//! The page of hypercall stubs that older guests ask for.
//!
//! 128 slots of 32 bytes, one per hypercall number. Filled when the toolstack's builder asks on
//! behalf of the guest, or when the guest writes the MSR of the `cpuid` leaves.

use hv_core::page::{self, PageError};
use hv_machine::directmap;
use hypercall_abi::nr;
use hypercall_abi::{Errno, Mfn};

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
    for number in 0..SLOTS as u32 {
        let [a, b, c, d] = number.to_le_bytes();
        // push rcx; push r11; mov eax, number; syscall; pop r11; pop rcx; ret
        let stub = [0x51, 0x41, 0x53, 0xb8, a, b, c, d, 0x0f, 0x05, 0x41, 0x5b, 0x59, 0xc3];
        // push rcx; push r11; push rax; mov eax, number; syscall: the pushes are part of the frame.
        let iret = [0x51, 0x41, 0x53, 0x50, 0xb8, a, b, c, d, 0x0f, 0x05];
        let code: &[u8] = if u64::from(number) == nr::IRET { &iret } else { &stub };
        directmap::write_bytes(mfn, number as usize * SLOT_BYTES, code);
    }
    page::put_writable(&Host, held);
    Ok(())
}
