//! User mode: the trait `User` by hypercalls.
//!
//! The kernel has one root table for ever. Each process has a root of its own for the lower half, which
//! the hypervisor loads when user mode is entered (`NEW_USER_BASEPTR`); the kernel never sees a program
//! at the program's addresses. `space` has the page tables, `run` the way into user mode and back, `fpu`
//! the registers nobody saves unless they are used, `tricks` the switches that turn each saving off.

mod exit;
mod fpu;
mod run;
mod space;
mod tables;
pub mod tricks;

use pvkernel_core::platform::{
    Change, FpuId, OutOfMemory, SpaceId, User, UserExit, UserRegs, ANSWERS,
};

use crate::hypercall::cpu;
use crate::layout::{direct_va, Pfn, PAGE};
use crate::platform;

use space::SPACES;

struct Device;

/// User mode as a part of the platform.
pub(crate) fn device() -> &'static dyn User {
    &Device
}

/// Frames of tables that are kept.
pub(crate) fn spare_frames() -> usize {
    SPACES.spare_frames()
}

/// Frees a frame of a table that is kept, or several; false without one.
pub(crate) fn give_up_spare() -> bool {
    SPACES.give_up_spare()
}

/// Locks or unlocks the FPU.
fn set_ts(set: bool) {
    cpu::fpu_taskswitch(set).expect("the flag can be changed");
}

/// Bytes of a frame, from an offset on; panics if they do not lie inside.
fn bytes_of(frame: usize, offset: usize, len: usize) -> *mut u8 {
    assert!(offset.checked_add(len).is_some_and(|end| end <= PAGE as usize), "outside of a frame");
    let address = direct_va(Pfn::new(frame as u64)) as usize + offset;
    core::ptr::with_exposed_provenance_mut(address)
}

impl User for Device {
    fn new_space(&self) -> Result<SpaceId, OutOfMemory> {
        space::prepare();
        SPACES.new_space()
    }

    fn free_space(&self, space: SpaceId) {
        SPACES.free_space(space);
    }

    fn change(&self, space: SpaceId, changes: &[Change]) -> Result<(), OutOfMemory> {
        SPACES.change(space, changes)
    }

    fn set_block_writable(&self, space: SpaceId, address: u64, writable: bool) {
        SPACES.set_block_writable(space, address, writable);
    }

    fn table_frames(&self) -> usize {
        SPACES.table_frames()
    }

    fn activate(&self, space: SpaceId) -> Result<(), OutOfMemory> {
        SPACES.activate(space);
        Ok(())
    }

    fn set_answers(&self, answers: &[i64; ANSWERS]) {
        run::set_answers(answers);
    }

    fn run(&self, regs: &mut UserRegs, fpu: FpuId) -> UserExit {
        run::run(regs, fpu)
    }

    fn set_slice(&self, deadline_ns: Option<u64>) {
        if let Some(deadline_ns) = deadline_ns {
            platform::arm_timer_by(deadline_ns);
        }
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
        let from = bytes_of(frame, offset, to.len());
        // SAFETY: the frame is mapped in the direct map, the range lies inside, and programs, which alone
        // could change it, do not run meanwhile.
        unsafe { from.copy_to_nonoverlapping(to.as_mut_ptr(), to.len()) };
    }

    fn write(&self, frame: usize, offset: usize, from: &[u8]) {
        let to = bytes_of(frame, offset, from.len());
        // SAFETY: the frame belongs to a process, is mapped writable and the range lies inside.
        unsafe { to.copy_from_nonoverlapping(from.as_ptr(), from.len()) };
    }

    fn clear(&self, frame: usize) {
        let to = bytes_of(frame, 0, PAGE as usize);
        // SAFETY: as in `write`.
        unsafe { to.write_bytes(0, PAGE as usize) };
    }

    fn copy(&self, from: usize, to: usize) {
        let from = bytes_of(from, 0, PAGE as usize);
        let to = bytes_of(to, 0, PAGE as usize);
        // SAFETY: as in `read` and `write`; the caller names two frames.
        unsafe { to.copy_from(from, PAGE as usize) };
    }
}
