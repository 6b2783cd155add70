//! The control registers as a PV guest sees and changes them.
//!
//! Called when `MOV CR`, `CLTS` and `XSETBV` are emulated, and when a vCPU context is set. The
//! real registers belong to the hypervisor; a guest sees a mixture of the real values and its own
//! few bits.
//!
//! Invariant: a value made here for the real CR4 differs from the hypervisor's only in bits the
//! guest may own and its policy offers.

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

/// The write would change something a guest cannot change: general protection fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused;

/// CR0 as the guest reads it.
#[must_use]
pub const fn read_cr0(hardware: u64, has_ts: bool) -> u64 {
    hardware & !CR0_TS | if has_ts { CR0_TS } else { 0 }
}

/// Writes CR0: only TS may differ from what a read shows. Returns the new virtual TS.
///
/// # Errors
/// Another bit differs.
pub const fn write_cr0(shown: u64, value: u64) -> Result<bool, Refused> {
    if (shown ^ value) & !CR0_TS != 0 {
        return Err(Refused);
    }
    Ok(value & CR0_TS != 0)
}

/// Which bits of CR4 the processor policy of a guest offers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cr4Policy {
    offered: u64,
}

impl Cr4Policy {
    /// A policy from the features the guest is shown.
    #[must_use]
    pub const fn new(has_tsc: bool, has_de: bool, has_fsgsbase: bool, has_xsave: bool) -> Self {
        let mut offered = 0;
        if has_tsc {
            offered |= CR4_TSD;
        }
        if has_de {
            offered |= CR4_DE;
        }
        if has_fsgsbase {
            offered |= CR4_FSGSBASE;
        }
        if has_xsave {
            offered |= CR4_OSXSAVE;
        }
        Self { offered }
    }

    /// The bits a guest owns after it wrote `value`; everything else in it is ignored.
    #[must_use]
    pub const fn write(self, value: u64) -> u64 {
        value & self.offered
    }

    /// CR4 as the guest reads it.
    #[must_use]
    pub const fn read(self, hardware: u64, owned: u64) -> u64 {
        hardware & CR4_SHOWN | owned & self.offered
    }

    /// The real CR4 while the guest runs, from the hypervisor's own value. OSXSAVE stays on when
    /// the hypervisor has it, because the hypervisor saves extended states with it; the guest's
    /// bit exists only in what it is shown.
    #[must_use]
    pub const fn hardware(self, hypervisor: u64, owned: u64) -> u64 {
        let switched = CR4_TSD | CR4_DE | CR4_FSGSBASE;
        hypervisor & !switched | owned & self.offered & switched
    }
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

/// Writes XCR0 with `XSETBV`.
///
/// # Errors
/// The register does not exist, the guest has not enabled XSAVE, a component is not offered, or
/// components that need each other are not together.
pub const fn write_xcr0(
    ecx: u32,
    value: u64,
    offered: u64,
    has_osxsave: bool,
) -> Result<u64, Refused> {
    if ecx != 0 || !has_osxsave || value & !offered != 0 || value & XCR0_X87 == 0 {
        return Err(Refused);
    }
    let needs_sse = value & XCR0_AVX != 0;
    let needs_avx = value & XCR0_AVX512 != 0;
    if needs_sse && value & XCR0_SSE == 0 || needs_avx && value & XCR0_AVX == 0 {
        return Err(Refused);
    }
    if !is_all_or_none(value, XCR0_AVX512) || !is_all_or_none(value, XCR0_BOUNDS) {
        return Err(Refused);
    }
    Ok(value)
}

const fn is_all_or_none(value: u64, group: u64) -> bool {
    value & group == 0 || value & group == group
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const PGE: u64 = 1 << 7;

    #[test]
    fn only_ts_of_cr0_can_change() {
        let shown = read_cr0(0x8005_003b, false);
        assert_eq!(shown, 0x8005_0033);
        assert_eq!(write_cr0(shown, shown | CR0_TS), Ok(true));
        assert_eq!(write_cr0(shown, shown), Ok(false));
        assert_eq!(write_cr0(shown, shown | 4), Err(Refused));
        assert_eq!(write_cr0(shown, shown & !(1 << 16)), Err(Refused));
    }

    #[test]
    fn cr4_hides_the_hypervisors_bits_and_takes_only_offered_ones() {
        let policy = Cr4Policy::new(true, true, false, true);
        let owned = policy.write(u64::MAX);
        assert_eq!(owned, CR4_TSD | CR4_DE | CR4_OSXSAVE);
        let hypervisor = PGE | CR4_PAE | CR4_OSFXSR | CR4_FSGSBASE | CR4_OSXSAVE;
        assert_eq!(policy.read(hypervisor, 0), CR4_PAE | CR4_OSFXSR);
        assert_eq!(
            policy.hardware(hypervisor, owned),
            PGE | CR4_PAE | CR4_OSFXSR | CR4_OSXSAVE | CR4_TSD | CR4_DE
        );
    }

    #[test]
    fn xcr0_follows_the_dependencies_of_the_states() {
        let offered = 0xe7;
        for good in [1, 3, 7, 0xe7] {
            assert_eq!(write_xcr0(0, good, offered, true), Ok(good));
        }
        for bad in [0, 2, 5, 0x27, 0xe3, 0x200, 0x1f] {
            assert_eq!(write_xcr0(0, bad, offered, true), Err(Refused), "{bad:#x}");
        }
        assert_eq!(write_xcr0(1, 3, offered, true), Err(Refused));
        assert_eq!(write_xcr0(0, 3, offered, false), Err(Refused));
        assert_eq!(write_xcr0(0, 0xb, 0x1f, true), Err(Refused));
    }

    proptest! {
        #[test]
        fn no_write_reaches_bits_of_the_hypervisor(
            hypervisor in any::<u64>(),
            value in any::<u64>(),
            has in any::<[bool; 4]>(),
        ) {
            let policy = Cr4Policy::new(has[0], has[1], has[2], has[3]);
            let owned = policy.write(value);
            prop_assert_eq!(owned & !CR4_GUEST_OWNED, 0);
            let switched = CR4_TSD | CR4_DE | CR4_FSGSBASE;
            prop_assert_eq!((policy.hardware(hypervisor, owned) ^ hypervisor) & !switched, 0);
            prop_assert_eq!(policy.read(hypervisor, owned) & !(CR4_SHOWN | CR4_GUEST_OWNED), 0);
        }
    }
}
