//! FPU state of vCPUs, and XCR0.
//!
//! The image switches lazily with `stts` and `clts` and calls `save` and `restore` with the FPU
//! unlocked. State is saved and restored with all components the hypervisor knows, whatever the
//! guest's own XCR0, so that nothing of one guest is seen by the next.

use super::{cpuid, cr4};
use crate::percpu;
use crate::sync::Once;
use core::arch::asm;
use core::sync::atomic::Ordering;

/// Size of an area: enough for x87, SSE, AVX and AVX-512.
const AREA: usize = 4096;
/// x87, SSE, AVX, and the three parts of AVX-512.
const KNOWN: u64 = 0b1110_0111;
const X87_SSE: u8 = 0b11;
/// Offset of the control words' reset values in the area.
const MXCSR_OFFSET: usize = 24;
const MXCSR_RESET: u16 = 0x1f80;
const FCW_RESET: u16 = 0x37f;

static HOST_XCR0: Once<u64> = Once::new();

/// The components this machine has and the hypervisor handles; 0 without `xsave`.
pub fn host_xcr0() -> u64 {
    *HOST_XCR0.call_once(|| {
        if super::features().cr4_available & cr4::OSXSAVE == 0 {
            return 0;
        }
        let [low, _, largest, high] = cpuid(0xd, 0);
        let known = u64::from(high) << 32 | u64::from(low);
        // Without AVX-512 the area is always large enough.
        known & if largest as usize <= AREA { KNOWN } else { 0b111 }
    })
}

/// Loads XCR0 for the guest; components that are not in [`host_xcr0`] are left out. No effect
/// without `xsave`.
pub fn xsetbv(value: u64) {
    let host = host_xcr0();
    if host == 0 {
        return;
    }
    let value = value & host | 1;
    if percpu::info().xcr0.swap(value, Ordering::Relaxed) != value {
        // SAFETY: only known components are enabled; x87 always is.
        unsafe {
            asm!("xsetbv", in("ecx") 0, in("eax") value as u32,
                in("edx") (value >> 32) as u32, options(nomem, nostack, preserves_flags));
        }
    }
}

/// Room for the FPU state of one vCPU.
#[repr(C, align(64))]
#[derive(Clone)]
pub struct FpuArea([u8; AREA]);

impl Default for FpuArea {
    /// The state after reset.
    fn default() -> Self {
        let mut area = [0; AREA];
        [area[0], area[1]] = FCW_RESET.to_le_bytes();
        [area[MXCSR_OFFSET], area[MXCSR_OFFSET + 1]] = MXCSR_RESET.to_le_bytes();
        Self(area)
    }
}

/// Moves the state between the FPU and an area, all components of it while XCR0 has them all.
macro_rules! transfer {
    ($legacy:literal, $extended:literal, $area:expr) => {{
        let (area, host) = ($area, host_xcr0());
        let guest = percpu::info().xcr0.load(Ordering::Relaxed);
        xsetbv(host);
        if host == 0 {
            // SAFETY: 512 bytes at a multiple of 16; what is loaded was saved or made by `default`.
            unsafe { asm!(concat!($legacy, " [{}]"), in(reg) area, options(nostack)) };
        } else {
            // SAFETY: aligned, large enough for all components; what is loaded was saved or made
            // by `default`.
            unsafe {
                asm!(concat!($extended, " [{}]"), in(reg) area, in("eax") host as u32,
                    in("edx") (host >> 32) as u32, options(nostack));
            }
        }
        xsetbv(guest);
    }};
}

impl FpuArea {
    /// The bytes, in the layout of `xsave`.
    pub fn bytes(&self) -> &[u8; AREA] {
        &self.0
    }

    /// Takes over the 512 bytes of an `fxsave` image; reserved MXCSR bits are dropped.
    pub fn set_legacy(&mut self, image: &[u8; 512]) {
        *self = Self::default();
        self.0[..512].copy_from_slice(image);
        self.0[MXCSR_OFFSET + 2..MXCSR_OFFSET + 4].fill(0);
        // Tells `xrstor` that the x87 and SSE parts are not in their reset state.
        self.0[512] = X87_SSE;
    }

    /// Saves the state of this CPU's FPU, which must be unlocked.
    pub fn save(&mut self) {
        transfer!("fxsave64", "xsave64", self.0.as_mut_ptr());
    }

    /// Loads the state into this CPU's FPU, which must be unlocked.
    pub fn restore(&self) {
        transfer!("fxrstor64", "xrstor64", self.0.as_ptr());
    }
}
