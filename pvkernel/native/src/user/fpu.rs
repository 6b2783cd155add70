//! Floating-point registers of programs.
//!
//! The kernel does not use the FPU, so a program's registers may stay in it while others run that do
//! not use it either. While they are somebody else's the FPU is locked (CR0.TS), and the first use
//! traps: then they are exchanged. `eager-fpu` exchanges them before each program that is not their owner
//! instead, without a trap.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::arch::asm;
use core::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use pvkernel_core::platform::{FpuId, OutOfMemory};
use pvkernel_core::sync::Lock;

use super::tricks::{self, Trick};
use crate::cpu::{self, cr0, cr4};

/// Room for x87, SSE and AVX.
const AREA: usize = 1024;
/// Components of `xsave` that a program may use: those three.
const WANTED: u64 = 0b111;
/// Offset of the control words' reset values in the area.
const MXCSR_OFFSET: usize = 24;
const MXCSR_RESET: u16 = 0x1f80;
const FCW_RESET: u16 = 0x37f;

/// Registers of one program, in the layout of `xsave`.
#[repr(C, align(64))]
#[derive(Clone)]
struct Area([u8; AREA]);

impl Area {
    /// The state after reset.
    const fn new() -> Self {
        let mut area = [0; AREA];
        [area[0], area[1]] = FCW_RESET.to_le_bytes();
        [area[MXCSR_OFFSET], area[MXCSR_OFFSET + 1]] = MXCSR_RESET.to_le_bytes();
        Self(area)
    }
}

/// Areas by number. Boxed, so that none moves.
static AREAS: Lock<Vec<Option<Box<Area>>>> = Lock::new(Vec::new());

const NOBODY: usize = usize::MAX;
/// Whose registers the FPU has.
static OWNER: AtomicUsize = AtomicUsize::new(NOBODY);
/// Whether the FPU is locked.
static LOCKED: AtomicBool = AtomicBool::new(false);
/// Components of `xsave`; 0 where there is only `fxsave`.
static COMPONENTS: AtomicU64 = AtomicU64::new(0);

/// Finds out what the FPU has.
pub(super) fn init() {
    if cpu::read_cr4() & cr4::OSXSAVE == 0 {
        return;
    }
    let components = u64::from(cpu::cpuid(0xd, 0)[0]) & WANTED;
    // SAFETY: CR4.OSXSAVE is set, and the processor has said that it has these components.
    unsafe { cpu::xsetbv(components) };
    COMPONENTS.store(components, Ordering::Relaxed);
}

/// Moves the registers between the FPU and an area.
macro_rules! transfer {
    ($legacy:literal, $extended:literal, $area:expr) => {{
        let (area, components) = ($area, COMPONENTS.load(Ordering::Relaxed));
        if components == 0 {
            // SAFETY: 512 bytes at a multiple of 16; what is loaded was saved or made by `new`.
            unsafe { asm!(concat!($legacy, " [{}]"), in(reg) area, options(nostack)) };
        } else {
            // SAFETY: at a multiple of 64, large enough for the components; what is loaded was saved
            // or made by `new`.
            unsafe {
                asm!(concat!($extended, " [{}]"), in(reg) area, in("eax") components as u32,
                    in("edx") 0, options(nostack));
            }
        }
    }};
}

impl Area {
    fn save(&mut self) {
        transfer!("fxsave64", "xsave64", self.0.as_mut_ptr());
    }

    fn restore(&self) {
        transfer!("fxrstor64", "xrstor64", self.0.as_ptr());
    }
}

fn unlock() {
    if LOCKED.swap(false, Ordering::Relaxed) {
        cpu::clts();
    }
}

fn lock() {
    if !LOCKED.swap(true, Ordering::Relaxed) {
        // SAFETY: only the lock of the FPU changes.
        unsafe { cpu::write_cr0(cr0::KERNEL | cr0::TS) };
    }
}

/// Called before a program runs, with upcalls masked.
#[inline]
pub(super) fn prepare(fpu: FpuId) {
    if OWNER.load(Ordering::Relaxed) == fpu.0 {
        unlock();
    } else if tricks::is_on(Trick::EagerFpu) {
        load(fpu);
    } else {
        lock();
    }
}

/// Makes the registers those of a program.
pub(super) fn load(fpu: FpuId) {
    unlock();
    let mut areas = AREAS.lock();
    save_owner(&mut areas);
    if let Some(Some(area)) = areas.get(fpu.0) {
        area.restore();
        OWNER.store(fpu.0, Ordering::Relaxed);
    }
}

/// Writes the registers to their owner's area; the FPU is unlocked.
fn save_owner(areas: &mut [Option<Box<Area>>]) {
    let owner = OWNER.load(Ordering::Relaxed);
    if let Some(Some(area)) = areas.get_mut(owner) {
        area.save();
    }
}

/// Makes an area.
pub(super) fn new(like: Option<FpuId>) -> Result<FpuId, OutOfMemory> {
    let mut areas = AREAS.lock();
    let area = match like {
        None => Area::new(),
        Some(other) => {
            if OWNER.load(Ordering::Relaxed) == other.0 {
                unlock();
                save_owner(&mut areas);
            }
            areas.get(other.0).and_then(Option::as_deref).cloned().unwrap_or(const { Area::new() })
        }
    };
    let index = areas.iter().position(Option::is_none).unwrap_or(areas.len());
    if index == areas.len() {
        areas.try_reserve(1).map_err(|_| OutOfMemory)?;
        areas.push(None);
    }
    areas[index] = Some(Box::new(area));
    Ok(FpuId(index))
}

/// The registers in the FPU, if they were this one's, are worth nothing any more.
fn forget(fpu: FpuId) {
    if OWNER.load(Ordering::Relaxed) == fpu.0 {
        OWNER.store(NOBODY, Ordering::Relaxed);
    }
}

/// Sets registers as after a reset.
pub(super) fn reset(fpu: FpuId) {
    forget(fpu);
    if let Some(Some(area)) = AREAS.lock().get_mut(fpu.0) {
        **area = Area::new();
    }
}

/// Gives the memory back.
pub(super) fn free(fpu: FpuId) {
    forget(fpu);
    let freed = AREAS.lock().get_mut(fpu.0).and_then(Option::take);
    drop(freed);
}
