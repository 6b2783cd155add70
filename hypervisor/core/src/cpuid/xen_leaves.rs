//! The CPUID leaves of the hypervisor interface.
//!
//! Used by `policy` for leaves from 0x40000000 on. Guests recognise the hypervisor by them and
//! learn about time and the width of machine addresses.

use super::Leaf;
use hypercall_abi::{cpuid, version::XEN_4_17};

/// Number of pages with hypercall stubs.
const HYPERCALL_PAGES: u32 = 1;

/// What the leaves say about a domain and its time: the counter is the machine's, unscaled and
/// without an offset.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct XenInfo {
    /// Bits of the largest machine address a guest can meet.
    pub machine_address_bits: u8,
    /// Number of times the domain was restored.
    pub incarnation: u32,
    /// Frequency of the counter.
    pub khz: u32,
    /// Multiplier from counter to nanoseconds.
    pub mul: u32,
    /// Shift from counter to nanoseconds.
    pub shift: i8,
}

/// One of the leaves; all zeroes for those that do not exist.
pub fn query(leaf: u32, subleaf: u32, xen: &XenInfo) -> Leaf {
    match (leaf, subleaf) {
        (cpuid::FIRST_LEAF, _) => [
            cpuid::FIRST_LEAF + cpuid::MAX_NUM_LEAVES,
            cpuid::SIGNATURE_EBX,
            cpuid::SIGNATURE_ECX,
            cpuid::SIGNATURE_EDX,
        ],
        (cpuid::LEAF_VERSION, _) => [XEN_4_17, 0, 0, 0],
        (cpuid::LEAF_HYPERCALL, _) => {
            [HYPERCALL_PAGES, cpuid::HYPERCALL_MSR_BASE, cpuid::FEAT1_MMU_PT_UPDATE_PRESERVE_AD, 0]
        }
        // No flags, and mode 0 of keeping the counter across migration.
        (cpuid::LEAF_TIME, 0) => [0, 0, xen.khz, xen.incarnation],
        (cpuid::LEAF_TIME, 1) => [0, 0, xen.mul, i32::from(xen.shift) as u32],
        (cpuid::LEAF_TIME, 2) => [xen.khz, 0, 0, 0],
        (cpuid::LEAF_PV, _) => [0, u32::from(xen.machine_address_bits), 0, 0],
        _ => [0; 4],
    }
}
