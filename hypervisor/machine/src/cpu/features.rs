//! What this machine's processors can do, found out once on the boot processor.

use super::{asm, cr4};
use crate::sync::Once;

/// Optional features the hypervisor uses.
#[derive(Clone, Copy, Debug)]
pub struct Features {
    /// No-execute bit in page-table entries.
    pub nx: bool,
    /// Leaf entries of third-level tables.
    pub huge_pages: bool,
    /// Bits of CR4 that may be set.
    pub cr4_available: u64,
    /// Bits of CR4 the hypervisor runs with.
    pub host_cr4: u64,
    /// Bits of a machine address.
    pub maddr_bits: u32,
}

static FEATURES: Once<Features> = Once::new();

/// The features of this machine.
pub fn features() -> &'static Features {
    FEATURES.call_once(detect)
}

fn detect() -> Features {
    let max_basic = asm::cpuid(0, 0)[0];
    let max_extended = asm::cpuid(0x8000_0000, 0)[0];
    let extended = |leaf: u32| if max_extended >= leaf { asm::cpuid(leaf, 0) } else { [0; 4] };
    let ecx1 = asm::cpuid(1, 0)[2];
    let [_, ebx7, ecx7, _] = if max_basic >= 7 { asm::cpuid(7, 0) } else { [0; 4] };
    let edx_ext = extended(0x8000_0001)[3];
    let address_sizes = extended(0x8000_0008)[0];

    // What every 64-bit CPU has, and what this one says it has.
    let always = cr4::TSD | cr4::DE | cr4::PAE | cr4::MCE | cr4::OSFXSR | cr4::OSXMMEXCPT;
    let optional = [
        (ecx1, 26, cr4::OSXSAVE),
        (ebx7, 0, cr4::FSGSBASE),
        (ebx7, 7, cr4::SMEP),
        (ebx7, 20, cr4::SMAP),
        (ecx7, 2, cr4::UMIP),
    ];
    let present = optional.iter().filter(|(word, bit, _)| word >> bit & 1 != 0);
    let available = present.fold(always, |flags, (_, _, flag)| flags | flag);
    Features {
        nx: edx_ext >> 20 & 1 != 0,
        huge_pages: edx_ext >> 26 & 1 != 0,
        cr4_available: available,
        host_cr4: available & !cr4::GUEST,
        maddr_bits: if address_sizes == 0 { 36 } else { address_sizes & 0xff },
    }
}
