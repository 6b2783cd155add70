//! FPU state of vCPUs, and XCR0.
//!
//! The image switches lazily with `stts` and `clts` and calls `save` and `restore` with the FPU
//! unlocked. State is saved and restored with all components the hypervisor knows, whatever the
//! guest's own XCR0, so that nothing of one guest is seen by the next.

use super::asm;
use crate::percpu;
use crate::sync::Once;
use core::sync::atomic::Ordering;

/// Size of an area: enough for x87, SSE, AVX and AVX-512.
const AREA: usize = 4096;
/// x87, SSE, AVX, and the three parts of AVX-512.
const KNOWN: u64 = 0b1110_0111;
const X87_SSE: u64 = 0b11;
/// Offset of the control words' reset values in the area.
const MXCSR_OFFSET: usize = 24;
const MXCSR_RESET: u32 = 0x1f80;
const FCW_RESET: u16 = 0x37f;

static HOST_XCR0: Once<u64> = Once::new();

/// The components this machine has and the hypervisor handles; 0 without `xsave`.
#[inline]
#[must_use]
pub fn host_xcr0() -> u64 {
    *HOST_XCR0.call_once(|| {
        if !super::features().xsave {
            return 0;
        }
        let [low, _, largest, high] = asm::cpuid(0xd, 0);
        let known = (u64::from(high) << 32 | u64::from(low)) & KNOWN;
        // Without AVX-512 the area is always large enough.
        if largest as usize <= AREA {
            known
        } else {
            known & 0b111
        }
    })
}

/// Loads XCR0 for the guest; components that are not in [`host_xcr0`] are left out. No effect
/// without `xsave`.
#[inline]
pub fn xsetbv(value: u64) {
    let host = host_xcr0();
    if host == 0 {
        return;
    }
    let value = value & host | 1;
    if percpu::info().xcr0.swap(value, Ordering::Relaxed) != value {
        // SAFETY: only known components are enabled; x87 always is.
        unsafe {
            core::arch::asm!("xsetbv", in("ecx") 0, in("eax") value as u32,
                in("edx") (value >> 32) as u32, options(nomem, nostack, preserves_flags));
        }
    }
}

/// Room for the FPU state of one vCPU.
#[repr(C, align(64))]
#[derive(Clone)]
pub struct FpuArea([u8; AREA]);

impl Default for FpuArea {
    fn default() -> Self {
        Self::new()
    }
}

impl FpuArea {
    /// The state after reset.
    #[must_use]
    pub const fn new() -> Self {
        let mut area = [0; AREA];
        let fcw = FCW_RESET.to_le_bytes();
        area[0] = fcw[0];
        area[1] = fcw[1];
        let mxcsr = MXCSR_RESET.to_le_bytes();
        let mut i = 0;
        while i < mxcsr.len() {
            area[MXCSR_OFFSET + i] = mxcsr[i];
            i += 1;
        }
        Self(area)
    }

    /// Puts the state after reset into the area.
    pub fn reset(&mut self) {
        *self = Self::new();
    }

    /// The bytes, in the layout of `xsave`.
    #[must_use]
    pub fn bytes(&self) -> &[u8; AREA] {
        &self.0
    }

    /// Takes over the 512 bytes of an `fxsave` image; reserved MXCSR bits are dropped.
    pub fn set_legacy(&mut self, image: &[u8; 512]) {
        self.reset();
        self.0[..512].copy_from_slice(image);
        self.0[MXCSR_OFFSET + 2] = 0;
        self.0[MXCSR_OFFSET + 3] = 0;
        // Tells `xrstor` that the x87 and SSE parts are not in their reset state.
        self.0[512] = X87_SSE as u8;
    }

    /// Saves the state of this CPU's FPU, which must be unlocked.
    pub fn save(&mut self) {
        let area = self.0.as_mut_ptr();
        let host = host_xcr0();
        if host == 0 {
            // SAFETY: 512 bytes at a multiple of 16.
            unsafe { core::arch::asm!("fxsave64 [{}]", in(reg) area, options(nostack)) };
        } else {
            let guest = percpu::info().xcr0.load(Ordering::Relaxed);
            xsetbv(host);
            // SAFETY: the area is aligned and large enough for all components of `host`.
            unsafe {
                core::arch::asm!("xsave64 [{}]", in(reg) area, in("eax") host as u32,
                    in("edx") (host >> 32) as u32, options(nostack));
            }
            xsetbv(guest);
        }
    }

    /// Loads the state into this CPU's FPU, which must be unlocked.
    pub fn restore(&self) {
        let area = self.0.as_ptr();
        let host = host_xcr0();
        if host == 0 {
            // SAFETY: the area holds what `fxsave` or the constructors wrote.
            unsafe { core::arch::asm!("fxrstor64 [{}]", in(reg) area, options(nostack)) };
        } else {
            let guest = percpu::info().xcr0.load(Ordering::Relaxed);
            xsetbv(host);
            // SAFETY: the area holds what `xsave` or the constructors wrote.
            unsafe {
                core::arch::asm!("xrstor64 [{}]", in(reg) area, in("eax") host as u32,
                    in("edx") (host >> 32) as u32, options(nostack));
            }
            xsetbv(guest);
        }
    }
}
