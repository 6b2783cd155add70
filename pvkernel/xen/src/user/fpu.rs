//! Floating-point registers of programs, lazily.
//!
//! The registers belong to the program that used them last, the owner. When another one runs, the flag TS
//! is set, so that its first such instruction traps; only then are they saved and loaded. A program that
//! computes with integers costs nothing. The kernel itself never uses them.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::cell::UnsafeCell;
use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use pvkernel_core::platform::{FpuId, OutOfMemory};
use pvkernel_core::sync::Lock;

use super::tricks::{self, Trick};

/// Nobody's number.
const NOBODY: usize = usize::MAX;

/// What `fxsave` writes.
#[repr(C, align(16))]
struct Area(UnsafeCell<[u8; 512]>);

// SAFETY: an area is reached by the thread that runs, of which there is one.
unsafe impl Send for Area {}

impl Area {
    /// As after a reset: all exceptions masked, full precision.
    fn new() -> Self {
        let mut bytes = [0; 512];
        bytes[..2].copy_from_slice(&0x37fu16.to_le_bytes());
        bytes[24..28].copy_from_slice(&0x1f80u32.to_le_bytes());
        Self(UnsafeCell::new(bytes))
    }
}

/// Areas by number; `None` stands for registers as after a reset.
static AREAS: Lock<Vec<Slot>> = Lock::new(Vec::new());

#[derive(Default)]
enum Slot {
    #[default]
    Free,
    Reset,
    Used(Box<Area>),
}

/// Whose registers the processor has.
static OWNER: AtomicUsize = AtomicUsize::new(NOBODY);
/// Whether TS is set.
static IS_SET: AtomicBool = AtomicBool::new(false);

fn set_ts(set: bool) {
    if IS_SET.swap(set, Ordering::Relaxed) != set {
        super::set_ts(set);
    }
}

/// Memory for registers like those of another, or as after a reset.
pub(super) fn new(like: Option<FpuId>) -> Result<FpuId, OutOfMemory> {
    if let Some(like) = like.filter(|like| OWNER.load(Ordering::Relaxed) == like.0) {
        save(like);
    }
    let mut areas = AREAS.lock();
    let slot = match like.and_then(|like| areas.get(like.0)) {
        Some(Slot::Used(area)) => {
            let copy = Box::new(Area::new());
            // SAFETY: both areas are whole, and nobody else reaches them.
            unsafe { copy.0.get().copy_from_nonoverlapping(area.0.get(), 1) };
            Slot::Used(copy)
        }
        _ => Slot::Reset,
    };
    match areas.iter().position(|slot| matches!(slot, Slot::Free)) {
        Some(place) => {
            areas[place] = slot;
            Ok(FpuId(place))
        }
        None => {
            areas.try_reserve(1).map_err(|_| OutOfMemory)?;
            areas.push(slot);
            Ok(FpuId(areas.len() - 1))
        }
    }
}

/// Sets registers as after a reset.
pub(super) fn reset(fpu: FpuId) {
    let _ = OWNER.compare_exchange(fpu.0, NOBODY, Ordering::Relaxed, Ordering::Relaxed);
    if let Some(slot) = AREAS.lock().get_mut(fpu.0) {
        *slot = Slot::Reset;
    }
}

/// Gives memory back.
pub(super) fn free(fpu: FpuId) {
    reset(fpu);
    if let Some(slot) = AREAS.lock().get_mut(fpu.0) {
        *slot = Slot::Free;
    }
}

/// Makes the processor trap at the next use if the registers are not this program's.
pub(super) fn prepare(fpu: FpuId) {
    let is_owner = OWNER.load(Ordering::Relaxed) == fpu.0;
    if !is_owner && tricks::is_on(Trick::EagerFpu) {
        load(fpu);
    } else {
        set_ts(!is_owner);
    }
}

/// Gives the processor's registers to a program, and keeps those of the owner.
pub(super) fn load(fpu: FpuId) {
    // Nobody set it, or it was used: then a hypervisor has cleared it, and a processor has not.
    IS_SET.store(true, Ordering::Relaxed);
    set_ts(false);
    let owner = OWNER.swap(fpu.0, Ordering::Relaxed);
    if owner != NOBODY {
        save(FpuId(owner));
    }
    let fresh = Area::new();
    let areas = AREAS.lock();
    let area = match areas.get(fpu.0) {
        Some(Slot::Used(area)) => area.0.get(),
        _ => fresh.0.get(),
    };
    // SAFETY: the area holds what `fxsave` wrote or the state after a reset; TS is clear; the registers
    // belong to programs.
    unsafe { core::arch::asm!("fxrstor64 [{}]", in(reg) area, options(nostack)) };
}

/// Saves the processor's registers to the area of their owner.
fn save(owner: FpuId) {
    set_ts(false);
    let mut areas = AREAS.lock();
    let Some(slot) = areas.get_mut(owner.0) else { return };
    if !matches!(slot, Slot::Used(_)) {
        *slot = Slot::Used(Box::new(Area::new()));
    }
    if let Slot::Used(area) = slot {
        let to = area.0.get();
        // SAFETY: the area has room for what the instruction writes, and is aligned; TS is clear.
        unsafe { core::arch::asm!("fxsave64 [{}]", in(reg) to, options(nostack)) };
    }
}
