//! What the tests of the emulation share: a plain copy of a guest's registers, and its code.

use hv_core::emul::code::{Code, BUFFER_LEN};
use hv_core::emul::GuestRegs;

/// A plain copy of the registers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// General registers in the order of their numbers.
    pub gprs: [u64; 16],
    /// Instruction pointer.
    pub rip: u64,
    /// Flags.
    pub rflags: u64,
    /// Base of fs.
    pub fs_base: u64,
    /// Base of gs.
    pub gs_base: u64,
}

impl GuestRegs for Snapshot {
    fn gpr(&self, number: u8) -> u64 {
        self.gprs[usize::from(number)]
    }

    fn rip(&self) -> u64 {
        self.rip
    }

    fn rflags(&self) -> u64 {
        self.rflags
    }

    fn fs_base(&self) -> u64 {
        self.fs_base
    }

    fn gs_base(&self) -> u64 {
        self.gs_base
    }
}

/// The beginning of a slice as fetched code. What was not fetched is the worst there can be: bytes
/// that would make every instruction a longer one.
pub fn code(slice: &[u8]) -> Code {
    let mut bytes = [0x66; BUFFER_LEN];
    bytes.iter_mut().zip(slice).for_each(|(to, from)| *to = *from);
    Code::from_buffer(bytes, slice.len())
}
