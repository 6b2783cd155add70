//! The registers an emulated instruction can read.
//!
//! The image implements [`GuestRegs`] for its saved frame, so no copy is needed; tests use
//! [`Snapshot`]. Registers are numbered as instructions encode them.
//!
//! Invariant: emulation only reads through this trait; what an instruction changes is returned.

/// Number of rax.
pub const RAX: u8 = 0;
/// Number of rcx.
pub const RCX: u8 = 1;
/// Number of rdx.
pub const RDX: u8 = 2;
/// Number of rbx.
pub const RBX: u8 = 3;
/// Number of rsi.
pub const RSI: u8 = 6;
/// Number of rdi.
pub const RDI: u8 = 7;

/// Read access to the registers of an interrupted guest.
pub trait GuestRegs {
    /// A general register, 0 (rax) to 15 (r15).
    fn gpr(&self, number: u8) -> u64;
    /// The instruction pointer.
    fn rip(&self) -> u64;
    /// The flags.
    fn rflags(&self) -> u64;
    /// The base of segment fs.
    fn fs_base(&self) -> u64;
    /// The base of segment gs.
    fn gs_base(&self) -> u64;
}

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
        self.gprs.get(usize::from(number)).copied().unwrap_or(0)
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
