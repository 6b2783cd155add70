//! The registers of an interrupted guest, and the block at the top of each CPU's stack.
//!
//! The assembly of `entry/` fills `GuestRegs` on every way in and loads it on every way out. The
//! block `CpuInfo` is found from any stack pointer by masking, because stacks are aligned to their
//! size. Its field offsets are given to the assembly as constants; nothing else knows them.

use core::cell::UnsafeCell;
use core::sync::atomic::{AtomicU32, AtomicU64, AtomicU8};
use zerocopy::{FromBytes, Immutable, IntoBytes};

/// Vector number that stands for "entered by `syscall`, may be left by `sysret`".
pub const VECTOR_SYSCALL_EXIT: u32 = 0x100;

/// General registers and return frame of a guest; starts like Xen's `cpu_user_regs`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
#[allow(missing_docs)]
pub struct GuestRegs {
    pub r15: u64,
    pub r14: u64,
    pub r13: u64,
    pub r12: u64,
    pub rbp: u64,
    pub rbx: u64,
    pub r11: u64,
    pub r10: u64,
    pub r9: u64,
    pub r8: u64,
    pub rax: u64,
    pub rcx: u64,
    pub rdx: u64,
    pub rsi: u64,
    pub rdi: u64,
    pub error_code: u32,
    /// What brought the CPU here; [`VECTOR_SYSCALL_EXIT`] lets the way out use `sysret`, which does
    /// not restore rcx, r11, cs and ss from here.
    pub vector: u32,
    pub rip: u64,
    pub cs: u64,
    pub rflags: u64,
    pub rsp: u64,
    pub ss: u64,
}

/// Head of each CPU's stack.
#[repr(C, align(16))]
pub(crate) struct CpuInfo {
    /// Keeps the end of `regs`, where the CPU starts to push, a multiple of 16.
    _align: u64,
    /// Registers of the guest this CPU runs; handed out as `&mut` to the hooks.
    pub(crate) regs: UnsafeCell<GuestRegs>,
    /// Work to be done before the guest continues; any CPU may add bits.
    pub(crate) work: AtomicU32,
    /// Whether a `syscall` is a hypercall.
    pub(crate) kernel_mode: AtomicU8,
    /// Address of the guest's pending and mask bytes and what follows them, or of zeros.
    pub(crate) vcpu_words: crate::cpuinfo::InfoPlace,
    /// Address of what the image keeps about the guest this CPU runs; see [`super::hooks::Hooks`].
    pub(crate) current: AtomicU64,
    /// Number of this CPU.
    pub(crate) cpu_id: AtomicU32,
    /// Bits of CR4 the guest has set.
    pub(crate) guest_cr4: AtomicU32,
    /// XCR0 as loaded.
    pub(crate) xcr0: AtomicU64,
    /// GDT pages that alias guest frames.
    pub(crate) gdt_pages: AtomicU32,
    /// Bit per LDT page that aliases a guest frame.
    pub(crate) ldt_pages: AtomicU32,
    /// Limit of the LDT as loaded, plus one; 0 when none is.
    pub(crate) ldt_bytes: AtomicU32,
    /// Whether the image may see interrupts of this CPU.
    pub(crate) released: AtomicU32,
}

/// Bytes of the block.
pub(crate) const CPUINFO_SIZE: u64 = core::mem::size_of::<CpuInfo>() as u64;

const _: () = assert!(core::mem::size_of::<GuestRegs>() == 168);
const _: () = assert!(core::mem::offset_of!(CpuInfo, regs) == 8);
const _: () = assert!(CPUINFO_SIZE.is_multiple_of(16));
const _: () = assert!(core::mem::offset_of!(GuestRegs, rip) == 128);
