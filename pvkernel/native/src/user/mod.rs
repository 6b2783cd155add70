//! Programs: the trait `User` of `pvkernel-core`, by instructions.
//!
//! `space` has the page tables of programs, `fpu` their floating-point registers; here a program runs.
//! `entry.S` has the other half of `run`: it enters user mode and comes back when the processor does.

mod fpu;
mod space;

use core::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use pvkernel_core::platform::{
    Change, FpuId, OutOfMemory, SpaceId, User, UserExit, UserRegs, ANSWERS,
};

use crate::boot::BootInfo;
use crate::layout::{direct_va, Pfn, PAGE};
use crate::trap::{self, EXCEPTIONS, SYSCALL};
use crate::{cpu, event, platform};

pub use fpu::set_eager;

struct Programs;

/// Programs as a part of the platform.
pub(crate) fn device() -> &'static dyn User {
    &Programs
}

/// Prepares the FPU; `fpu=eager` turns a trick off.
pub(crate) fn init(boot: &BootInfo) {
    fpu::init();
    fpu::set_eager(boot.args().value("fpu") == Some("eager"));
}

/// When `run` is to end; 0 for never.
static SLICE: AtomicU64 = AtomicU64::new(0);

/// What the first system calls answer at once, if it is not negative; read by `entry.S`.
#[cfg_attr(target_os = "none", unsafe(no_mangle))]
static USER_ANSWERS: [AtomicI64; ANSWERS] = [const { AtomicI64::new(-1) }; ANSWERS];

/// Addresses of programs are below this one.
const USER_END: u64 = 0x7fff_ffff_f000;

/// Bits of the flags.
mod flag {
    pub(super) const ALWAYS: u64 = 1 << 1;
    pub(super) const TRAP: u64 = 1 << 8;
    pub(super) const INTERRUPTS: u64 = 1 << 9;
    pub(super) const RESUME: u64 = 1 << 16;
    /// What a program may set: the results of arithmetic, direction, single steps, resume, alignment
    /// checks, and the bit that shows that there is `cpuid`.
    pub(super) const FREE: u64 = 0xcd5 | TRAP | RESUME | 1 << 18 | 1 << 21;
}

const NO_FPU: u64 = 7;
const STACK_FAULT: u8 = 12;
const PROTECTION: u8 = 13;
const PAGE_FAULT: u64 = 14;

#[cfg(target_os = "none")]
mod symbols {
    use pvkernel_core::platform::UserRegs;
    // SAFETY: defined in entry.S with this signature.
    unsafe extern "C" {
        pub fn user_enter(regs: *mut UserRegs, by_sysret: u32) -> u32;
    }
}

/// On a host there is no user mode; the symbol only has to exist.
#[cfg(not(target_os = "none"))]
mod symbols {
    use pvkernel_core::platform::UserRegs;
    pub unsafe extern "C" fn user_enter(_regs: *mut UserRegs, _by_sysret: u32) -> u32 {
        crate::trap::SYSCALL as u32
    }
}

// The offsets that `entry.S` uses.
const _: () = assert!(core::mem::offset_of!(UserRegs, rdi) == 112);
const _: () = assert!(core::mem::offset_of!(UserRegs, rip) == 120);
const _: () = assert!(core::mem::offset_of!(UserRegs, rsp) == 136);

const fn is_canonical(address: u64) -> bool {
    (address << 16) as i64 >> 16 == address as i64
}

/// What keeps registers from being loaded, if something does.
fn obstacle(regs: &UserRegs) -> Option<UserExit> {
    match (is_canonical(regs.rip), is_canonical(regs.rsp)) {
        (true, true) => None,
        (false, _) => Some(UserExit::Fault { vector: PROTECTION, error: 0 }),
        _ => Some(UserExit::Fault { vector: STACK_FAULT, error: 0 }),
    }
}

/// Whether `sysret` is enough: it takes two registers for itself, as `syscall` does, so they must have
/// what it leaves there; it must not begin a single step; and with an address outside of the lower half
/// it would fault in the kernel, on the program's stack.
const fn can_sysret(regs: &UserRegs) -> bool {
    regs.rcx == regs.rip
        && regs.r11 == regs.rflags
        && regs.rip < USER_END
        && regs.rflags & (flag::TRAP | flag::RESUME) == 0
}

impl Programs {
    /// Enters user mode and returns the vector that ended it. Upcalls are masked.
    fn enter(regs: &mut UserRegs) -> u64 {
        let by_sysret = u32::from(can_sysret(regs));
        // SAFETY: the registers are made harmless: the flags, by the caller, and the addresses; the
        // segments are fixed. What the program can reach is what its space shows it.
        let vector = unsafe { symbols::user_enter(regs, by_sysret) };
        u64::from(vector)
    }

    /// What a trap means; the registers are in its frame.
    fn exit_of(regs: &mut UserRegs, vector: u64) -> UserExit {
        let frame = trap::user_frame();
        *regs = UserRegs {
            r15: frame.r15,
            r14: frame.r14,
            r13: frame.r13,
            r12: frame.r12,
            rbp: frame.rbp,
            rbx: frame.rbx,
            r11: frame.r11,
            r10: frame.r10,
            r9: frame.r9,
            r8: frame.r8,
            rax: frame.rax,
            rcx: frame.rcx,
            rdx: frame.rdx,
            rsi: frame.rsi,
            rdi: frame.rdi,
            rip: frame.rip,
            rflags: frame.rflags,
            rsp: frame.rsp,
        };
        let error = frame.error as u32;
        match vector {
            PAGE_FAULT => UserExit::PageFault {
                address: cpu::read_cr2(),
                write: error & 2 != 0,
                execute: error & 16 != 0,
                present: error & 1 != 0,
            },
            0..EXCEPTIONS => UserExit::Fault { vector: vector as u8, error },
            _ => {
                event::upcall(vector as u8);
                UserExit::Interrupted
            }
        }
    }
}

impl User for Programs {
    fn new_space(&self) -> Result<SpaceId, OutOfMemory> {
        space::new()
    }

    fn free_space(&self, space: SpaceId) {
        space::free(space);
    }

    fn change(&self, space: SpaceId, changes: &[Change]) -> Result<(), OutOfMemory> {
        space::change(space, changes)
    }

    fn table_frames(&self) -> usize {
        space::table_frames()
    }

    fn set_block_writable(&self, space: SpaceId, address: u64, writable: bool) {
        space::set_block_writable(space, address, writable);
    }

    fn activate(&self, space: SpaceId) -> Result<(), OutOfMemory> {
        space::activate(space);
        Ok(())
    }

    /// `entry.S` looks there before it leaves the program.
    fn set_answers(&self, answers: &[i64; ANSWERS]) {
        let slots = USER_ANSWERS.iter().zip(answers);
        slots.for_each(|(slot, answer)| slot.store(*answer, Ordering::Relaxed));
    }

    fn run(&self, regs: &mut UserRegs, fpu: FpuId) -> UserExit {
        if let Some(fault) = obstacle(regs) {
            return fault;
        }
        regs.rflags = regs.rflags & flag::FREE | flag::INTERRUPTS | flag::ALWAYS;
        event::mask_upcalls();
        let exit = loop {
            if event::is_raised() || !platform::arm_slice(SLICE.load(Ordering::Relaxed)) {
                break UserExit::Interrupted;
            }
            fpu::prepare(fpu);
            match Self::enter(regs) {
                SYSCALL => break UserExit::Syscall,
                vector => match Self::exit_of(regs, vector) {
                    UserExit::Fault { vector, .. } if u64::from(vector) == NO_FPU => fpu::load(fpu),
                    exit => break exit,
                },
            }
        };
        event::enable_upcalls();
        exit
    }

    fn set_slice(&self, deadline_ns: Option<u64>) {
        SLICE.store(deadline_ns.unwrap_or(0), Ordering::Relaxed);
    }

    fn new_fpu(&self, like: Option<FpuId>) -> Result<FpuId, OutOfMemory> {
        fpu::new(like)
    }

    fn reset_fpu(&self, fpu: FpuId) {
        fpu::reset(fpu);
    }

    fn free_fpu(&self, fpu: FpuId) {
        fpu::free(fpu);
    }

    fn read(&self, frame: usize, offset: usize, to: &mut [u8]) {
        let from = bytes(frame, offset, to.len());
        // SAFETY: inside a frame, which is mapped in the direct map; it is a program's, so no memory
        // of Rust's, and no program runs now.
        unsafe { to.as_mut_ptr().copy_from_nonoverlapping(from, to.len()) };
    }

    fn write(&self, frame: usize, offset: usize, from: &[u8]) {
        let to = bytes(frame, offset, from.len());
        // SAFETY: as in `read`.
        unsafe { to.copy_from_nonoverlapping(from.as_ptr(), from.len()) };
    }

    fn clear(&self, frame: usize) {
        // SAFETY: as in `read`.
        unsafe { bytes(frame, 0, PAGE as usize).write_bytes(0, PAGE as usize) };
    }

    fn copy(&self, from: usize, to: usize) {
        let (from, to) = (bytes(from, 0, PAGE as usize), bytes(to, 0, PAGE as usize));
        // SAFETY: as in `read`; a frame may be copied to itself.
        unsafe { to.copy_from(from, PAGE as usize) };
    }
}

/// Where bytes of a frame are in the direct map.
fn bytes(frame: usize, offset: usize, len: usize) -> *mut u8 {
    let end = offset.checked_add(len);
    assert!(end.is_some_and(|end| end <= PAGE as usize), "a copy passes the end of a frame");
    let address = direct_va(Pfn::new(frame as u64)) as usize + offset;
    core::ptr::with_exposed_provenance_mut(address)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sysret_is_not_used_for_what_it_does_not_restore_or_survive() {
        let after_call = UserRegs {
            rip: 0x40_1000,
            rcx: 0x40_1000,
            rflags: 0x202,
            r11: 0x202,
            ..UserRegs::default()
        };
        assert!(can_sysret(&after_call));
        assert!(!can_sysret(&UserRegs { rcx: 5, ..after_call }));
        assert!(!can_sysret(&UserRegs { r11: 0x203, ..after_call }));
        assert!(!can_sysret(&UserRegs { rflags: 0x302, r11: 0x302, ..after_call }));
        let edge = 0x8000_0000_0000;
        assert!(!can_sysret(&UserRegs { rip: edge, rcx: edge, ..after_call }));
    }

    #[test]
    fn addresses_that_are_not_canonical_are_faults_of_the_program() {
        let at = |rip, rsp| obstacle(&UserRegs { rip, rsp, ..UserRegs::default() });
        assert_eq!(at(0x7fff_ffff_ffff, 0), None);
        assert_eq!(at(u64::MAX, 1 << 47 | 0xffff << 48), None);
        assert_eq!(at(1 << 47, 0), Some(UserExit::Fault { vector: 13, error: 0 }));
        assert_eq!(at(0, 1 << 63), Some(UserExit::Fault { vector: 12, error: 0 }));
    }
}
