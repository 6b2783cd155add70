//! Programs: their address spaces, and running them.
//!
//! The core decides what is mapped where and keeps the count of each frame's users; the backend has the
//! page tables. Changes come in batches, because on a hypervisor each crossing costs. `run` continues a
//! program until it wants something or is interrupted, and comes back like a function: all that a system
//! call, a fault and a time slice have in common is in the loop around it.
//!
//! The kernel never follows a program's pointers. It looks up the frame and copies through `read` and
//! `write`, so a bad pointer is an error of a lookup and not a fault.

use super::OutOfMemory;

/// Bytes that one table of the lowest level maps.
pub const BLOCK: u64 = 512 * 4096;

/// System calls that can have an answer ready: the first ones. Each costs something in every switch.
pub const ANSWERS: usize = 3;

/// Names an address space.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SpaceId(pub usize);

/// Names the memory of a program's floating-point registers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FpuId(pub usize);

/// What a program may do with a page. All can be read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UserAccess {
    /// Write it.
    pub write: bool,
    /// Run it.
    pub execute: bool,
}

/// A page of a space becomes something else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// Its address, a multiple of the page size in the lower half.
    pub address: u64,
    /// What is there from now on; nothing for `None`.
    pub page: Option<(usize, UserAccess)>,
}

/// Registers of a program.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
#[allow(missing_docs)] // The fields are registers and say so.
pub struct UserRegs {
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
    pub rip: u64,
    pub rflags: u64,
    pub rsp: u64,
}

/// Why a program does not run on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UserExit {
    /// The instruction `syscall`; `rip` is behind it.
    Syscall,
    /// A page cannot be used as it was tried.
    PageFault {
        /// The address.
        address: u64,
        /// It was written to.
        write: bool,
        /// It was to be run.
        execute: bool,
        /// There is something, with less access.
        present: bool,
    },
    /// Another exception.
    Fault {
        /// Its vector.
        vector: u8,
        /// Its error code, or 0.
        error: u32,
    },
    /// An event was recorded, or the time slice is over.
    Interrupted,
}

/// Spaces, and the processor's user mode.
pub trait User: Sync {
    /// Makes an empty space.
    ///
    /// # Errors
    /// Without memory for its tables.
    fn new_space(&self) -> Result<SpaceId, OutOfMemory>;

    /// Frees a space and its tables. Frames that are still mapped there stay the caller's, who does not
    /// have to unmap them first. If it is the active one, none is until the next `activate`. Tables may
    /// be kept for the next space; `Mmu::free_frames` counts those as free.
    fn free_space(&self, space: SpaceId);

    /// Makes changes, in as few steps as the machine permits; when this returns no old translation is in
    /// use. Frames come from `Mmu::alloc_frame` and belong to the caller.
    ///
    /// # Errors
    /// Without memory for tables; then the changes up to some point were made, and making all of them
    /// again is right.
    fn change(&self, space: SpaceId, changes: &[Change]) -> Result<(), OutOfMemory>;

    /// Keeps a program from writing to a whole block of [`BLOCK`] bytes, whatever its pages permit, or
    /// lets it again: one step for 512 pages. Nothing happens where no table is; a new table's block is
    /// writable. When this returns no old translation is in use.
    fn set_block_writable(&self, space: SpaceId, address: u64, writable: bool);

    /// Frames that are page tables of spaces.
    fn table_frames(&self) -> usize;

    /// Makes a space the one `run` uses; costs next to nothing when it is. Threads that never call `run`
    /// need not care.
    ///
    /// # Errors
    /// Without memory for what is made at the first use of a space.
    fn activate(&self, space: SpaceId) -> Result<(), OutOfMemory>;

    /// What the first system calls answer at once, for the program that runs next: `run` does not come back
    /// for a call whose answer is not negative. For those that only tell what the kernel knows already.
    fn set_answers(&self, answers: &[i64; ANSWERS]);

    /// Runs a program in the active space until it exits to the kernel. Events are recorded meanwhile,
    /// not handled. What `rflags`, `rip` and `rsp` say is made harmless by the backend: user mode, with
    /// interrupts, no I/O; an address that is not canonical is a fault of the program.
    fn run(&self, regs: &mut UserRegs, fpu: FpuId) -> UserExit;

    /// The time at which the next `run` is to end with `Interrupted`, at latest soon after; `None` for no
    /// limit. Another event may end it earlier: who wants to be sure says it before each run.
    fn set_slice(&self, deadline_ns: Option<u64>);

    /// Memory for floating-point registers, as after a reset, or a copy of another's.
    ///
    /// # Errors
    /// Without memory.
    fn new_fpu(&self, like: Option<FpuId>) -> Result<FpuId, OutOfMemory>;

    /// Sets them as after a reset.
    fn reset_fpu(&self, fpu: FpuId);

    /// Gives the memory back.
    fn free_fpu(&self, fpu: FpuId);

    /// Copies bytes out of a frame; the range must lie inside.
    fn read(&self, frame: usize, offset: usize, to: &mut [u8]);

    /// Copies bytes into a frame; the range must lie inside.
    fn write(&self, frame: usize, offset: usize, from: &[u8]);

    /// Fills a frame with zeros.
    fn clear(&self, frame: usize);

    /// Copies a whole frame.
    fn copy(&self, from: usize, to: usize);
}
