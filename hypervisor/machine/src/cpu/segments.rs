//! Segment registers and bases of the running guest.
//!
//! GS is the guest's all the time: its base is that of the guest's present mode, and KERNEL_GS_BASE
//! that of the other one. Selectors come from guests; loading a bad one faults, is fixed up and
//! becomes a NUL selector. Bases must be canonical: the functions make them so, because not every
//! processor (and no emulator) refuses others.

use super::asm::{read_ds, read_es, read_fs, read_gs, swapgs};
use super::msr::{rdmsr_safe, wrmsr};
use crate::mem::fixups::on_fault;
use core::arch::asm;
use hv_core::msr::{FS_BASE, GS_BASE, KERNEL_GS_BASE};

/// Data segments of a guest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SegState {
    /// Selector of DS.
    pub ds: u16,
    /// Selector of ES.
    pub es: u16,
    /// Selector of FS.
    pub fs: u16,
    /// Selector of GS.
    pub gs: u16,
    /// Base of FS.
    pub fs_base: u64,
    /// Base of GS in guest-kernel mode.
    pub gs_base_kernel: u64,
    /// Base of GS in guest-user mode.
    pub gs_base_user: u64,
}

/// Sign-extends bit 47.
const fn canonical(address: u64) -> u64 {
    ((address << 16) as i64 >> 16) as u64
}

/// A base register; every 64-bit CPU has all three.
#[repr(u32)]
pub enum Base {
    /// That of FS.
    Fs = FS_BASE,
    /// That of GS in the mode the guest is in.
    Gs = GS_BASE,
    /// That of GS in the other mode.
    OtherGs = KERNEL_GS_BASE,
}

/// Reads a base.
pub fn base(which: Base) -> u64 {
    rdmsr_safe(which as u32).unwrap_or(0)
}

/// Sets a base.
pub fn set_base(which: Base, base: u64) {
    // SAFETY: the hypervisor uses neither FS nor GS.
    unsafe { wrmsr(which as u32, canonical(base)) };
}

/// Defines functions that load a selector: false when it is not loadable; NUL is loaded then.
macro_rules! loaders {
    ($($load:ident = $register:literal;)+) => {$(
        fn $load(selector: u16) -> bool {
            let failed: u64;
            // SAFETY: the hypervisor does not use the register; a fault is survived.
            unsafe {
                asm!(concat!("2: mov ", $register, ", {:e}"), "3:", on_fault!("2b"),
                    in(reg) u32::from(selector), inout("r8") 0_u64 => failed, options(nostack));
            }
            if failed != 0 {
                $load(0);
            }
            failed == 0
        }
    )+};
}

loaders! {
    load_ds = "ds";
    load_es = "es";
    load_fs = "fs";
    load_gs = "gs";
}

/// Whether code in this segment, which a guest is running in, is 64-bit code. Segments of an LDT are
/// taken for 32-bit ones, because looking at a page of it that is not mapped yet would fault here.
pub fn is_long_code(selector: u16) -> bool {
    /// Bit of a selector: the table is the LDT.
    const LOCAL: u16 = 1 << 2;
    /// Bit of the access rights: 64-bit code.
    const LONG: u32 = 1 << 21;
    if selector & LOCAL != 0 {
        return false;
    }
    let rights: u32;
    let valid: u8;
    // SAFETY: reads a descriptor of the GDT, all pages of which are mapped.
    unsafe {
        asm!("lar {rights:e}, {selector:e}", "setz {valid}", selector = in(reg) u32::from(selector),
            rights = out(reg) rights, valid = out(reg_byte) valid, options(nostack));
    }
    valid != 0 && rights & LONG != 0
}

/// Reads the segments of the guest that runs here in kernel or user mode.
pub fn save(kernel_mode: bool) -> SegState {
    let (present, other) = (base(Base::Gs), base(Base::OtherGs));
    let (gs_base_kernel, gs_base_user) = by_mode(kernel_mode, present, other);
    SegState {
        ds: read_ds() as u16,
        es: read_es() as u16,
        fs: read_fs() as u16,
        gs: read_gs() as u16,
        fs_base: base(Base::Fs),
        gs_base_kernel,
        gs_base_user,
    }
}

/// The bases of GS: from those of the present and the other mode to those of kernel and user mode, or
/// back.
fn by_mode(kernel_mode: bool, first: u64, second: u64) -> (u64, u64) {
    if kernel_mode {
        (first, second)
    } else {
        (second, first)
    }
}

/// Loads the segments of a guest that is to run here in kernel or user mode.
///
/// # Errors
/// When a selector was not loadable; NUL stands in its place, everything else is loaded.
#[allow(clippy::result_unit_err)]
pub fn load(state: &SegState, kernel_mode: bool) -> Result<(), ()> {
    // Loading a selector changes the base, so bases come last.
    let loaded = [load_ds(state.ds), load_es(state.es), load_fs(state.fs), load_gs(state.gs)];
    let (present, other) = by_mode(kernel_mode, state.gs_base_kernel, state.gs_base_user);
    set_base(Base::Fs, state.fs_base);
    set_base(Base::Gs, present);
    set_base(Base::OtherGs, other);
    (loaded == [true; 4]).then_some(()).ok_or(())
}

/// Loads GS with a selector for the mode the guest is *not* in: that mode's base becomes the
/// descriptor's. It gets the privilege of a guest; small numbers are NUL, and a bad selector loads it.
pub fn load_user_gs_selector(selector: u16) {
    let selector = if selector & !3 == 0 { 0 } else { selector | 3 };
    swapgs();
    load_gs(selector);
    swapgs();
}
