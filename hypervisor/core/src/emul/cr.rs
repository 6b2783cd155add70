//! The control registers as a PV guest sees and changes them.
//!
//! Called when `MOV CR`, `CLTS` and `XSETBV` are emulated, and when a vCPU context is set. The
//! real registers belong to the hypervisor; a guest sees a mixture of the real values and its own
//! few bits.
//!
//! Invariant: a guest is never shown a bit of the hypervisor's that is not in a list here, and the
//! bits it owns are those its policy offers.

/// CR0: the next FPU instruction faults.
pub const CR0_TS: u64 = 1 << 3;

/// CR4: RDTSC only in ring 0.
pub const CR4_TSD: u64 = 1 << 2;
/// CR4: debug extensions.
pub const CR4_DE: u64 = 1 << 3;
/// CR4: physical address extension.
pub const CR4_PAE: u64 = 1 << 5;
/// CR4: machine check.
pub const CR4_MCE: u64 = 1 << 6;
/// CR4: FXSAVE and FXRSTOR.
pub const CR4_OSFXSR: u64 = 1 << 9;
/// CR4: SIMD exceptions.
pub const CR4_OSXMMEXCPT: u64 = 1 << 10;
/// CR4: instructions for segment bases.
pub const CR4_FSGSBASE: u64 = 1 << 16;
/// CR4: XSAVE and extended states.
pub const CR4_OSXSAVE: u64 = 1 << 18;

/// Bits of CR4 that a guest may own.
pub const CR4_GUEST_OWNED: u64 = CR4_TSD | CR4_DE | CR4_FSGSBASE | CR4_OSXSAVE;
/// Bits of CR4 that are shown as the hypervisor has them.
pub const CR4_SHOWN: u64 = CR4_PAE | CR4_MCE | CR4_OSFXSR | CR4_OSXMMEXCPT;

/// CR0 as the guest reads it.
pub fn read_cr0(hardware: u64, has_ts: bool) -> u64 {
    hardware & !CR0_TS | (u64::from(has_ts) * CR0_TS)
}

/// Writes CR0: only TS may differ from what a read shows. Returns the new virtual TS, or nothing if
/// the guest gets a general protection fault.
#[must_use]
pub fn write_cr0(shown: u64, value: u64) -> Option<bool> {
    ((shown ^ value) & !CR0_TS == 0).then_some(value & CR0_TS != 0)
}

/// CR4 as a guest that owns these bits reads it. A guest owns what it wrote, as far as its policy
/// offers it ([`crate::cpuid::Policy::offered_cr4`]); everything else it writes is ignored.
pub fn read_cr4(hardware: u64, owned: u64) -> u64 {
    hardware & CR4_SHOWN | owned & CR4_GUEST_OWNED
}

/// State components of the x87 FPU.
pub const XCR0_X87: u64 = 1 << 0;
/// State components of SSE.
pub const XCR0_SSE: u64 = 1 << 1;
/// State components of AVX.
pub const XCR0_AVX: u64 = 1 << 2;
/// The three state components of AVX-512, which only work together.
pub const XCR0_AVX512: u64 = 7 << 5;
/// The two state components of bound registers, which only work together.
pub const XCR0_BOUNDS: u64 = 3 << 3;

/// Which components (any of the first) need which others (all of the second).
const NEEDS: [(u64, u64); 3] =
    [(XCR0_AVX, XCR0_SSE), (XCR0_AVX512, XCR0_AVX512 | XCR0_AVX), (XCR0_BOUNDS, XCR0_BOUNDS)];

/// Whether a guest may write this to XCR0 with `XSETBV`: the register exists, the guest has enabled
/// XSAVE, all components are offered, and those that need each other are together.
#[must_use]
pub fn may_write_xcr0(ecx: u32, value: u64, offered: u64, has_osxsave: bool) -> bool {
    let is_complete = NEEDS.iter().all(|(any, all)| value & any == 0 || value & all == *all);
    ecx == 0 && has_osxsave && value & !offered == 0 && value & XCR0_X87 != 0 && is_complete
}

#[cfg(test)]
mod tests {
    use super::*;

    const PGE: u64 = 1 << 7;

    #[test]
    fn only_ts_of_cr0_can_change() {
        let shown = read_cr0(0x8005_003b, false);
        assert_eq!(shown, 0x8005_0033);
        assert_eq!(write_cr0(shown, shown | CR0_TS), Some(true));
        assert_eq!(write_cr0(shown, shown), Some(false));
        assert_eq!(write_cr0(shown, shown | 4), None);
        assert_eq!(write_cr0(shown, shown & !(1 << 16)), None);
    }

    #[test]
    fn cr4_hides_the_hypervisors_own_bits() {
        let hypervisor = PGE | CR4_PAE | CR4_OSFXSR | CR4_FSGSBASE | CR4_OSXSAVE;
        assert_eq!(read_cr4(hypervisor, 0), CR4_PAE | CR4_OSFXSR);
        let owned = CR4_TSD | CR4_DE | CR4_OSXSAVE;
        assert_eq!(read_cr4(hypervisor, owned), CR4_PAE | CR4_OSFXSR | owned);
        assert_eq!(read_cr4(u64::MAX, u64::MAX), CR4_SHOWN | CR4_GUEST_OWNED);
    }

    #[test]
    fn xcr0_follows_the_dependencies_of_the_states() {
        let offered = 0xe7;
        for good in [1, 3, 7, 0xe7] {
            assert!(may_write_xcr0(0, good, offered, true));
        }
        for bad in [0, 2, 5, 0x27, 0xe3, 0x200, 0x1f] {
            assert!(!may_write_xcr0(0, bad, offered, true), "{bad:#x}");
        }
        assert!(!may_write_xcr0(1, 3, offered, true));
        assert!(!may_write_xcr0(0, 3, offered, false));
        assert!(!may_write_xcr0(0, 0xb, 0x1f, true));
    }
}
