//! The CPUID leaves of the hypervisor interface.
//!
//! Used by `policy` for leaves from 0x40000000 on. Guests recognise the hypervisor by them and
//! learn about time and the width of machine addresses.

use super::Leaf;
use hypercall_abi::cpuid;

/// Number of pages with hypercall stubs.
const HYPERCALL_PAGES: u32 = 1;

/// What the leaves say about the hypervisor itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct XenInfo {
    /// Major version of the interface.
    pub major: u16,
    /// Minor version of the interface.
    pub minor: u16,
    /// Bits of the largest machine address a guest can meet.
    pub machine_address_bits: u8,
}

/// What the leaves say about a domain's time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TimeInfo {
    /// `TIME_*` bits.
    pub flags: u32,
    /// How the counter is kept across migration.
    pub tsc_mode: u32,
    /// Frequency of the counter the guest reads.
    pub guest_khz: u32,
    /// Number of times the domain was restored.
    pub incarnation: u32,
    /// Nanoseconds of system time when the counter is 0.
    pub offset_ns: u64,
    /// Multiplier from counter to nanoseconds.
    pub mul: u32,
    /// Shift from counter to nanoseconds.
    pub shift: i8,
    /// Frequency of the machine's counter.
    pub host_khz: u32,
}

/// One of the leaves; all zeroes for those that do not exist.
#[must_use]
pub fn query(leaf: u32, subleaf: u32, xen: &XenInfo, time: &TimeInfo) -> Leaf {
    match leaf {
        cpuid::FIRST_LEAF => [
            cpuid::FIRST_LEAF + cpuid::MAX_NUM_LEAVES,
            cpuid::SIGNATURE_EBX,
            cpuid::SIGNATURE_ECX,
            cpuid::SIGNATURE_EDX,
        ],
        cpuid::LEAF_VERSION => [u32::from(xen.major) << 16 | u32::from(xen.minor), 0, 0, 0],
        cpuid::LEAF_HYPERCALL => {
            [HYPERCALL_PAGES, cpuid::HYPERCALL_MSR_BASE, cpuid::FEAT1_MMU_PT_UPDATE_PRESERVE_AD, 0]
        }
        cpuid::LEAF_TIME => time_leaf(subleaf, time),
        cpuid::LEAF_PV => [0, u32::from(xen.machine_address_bits), 0, 0],
        _ => [0; 4],
    }
}

fn time_leaf(subleaf: u32, time: &TimeInfo) -> Leaf {
    match subleaf {
        0 => [time.flags, time.tsc_mode, time.guest_khz, time.incarnation],
        1 => {
            let (low, high) = (time.offset_ns as u32, (time.offset_ns >> 32) as u32);
            [low, high, time.mul, i32::from(time.shift) as u32]
        }
        2 => [time.host_khz, 0, 0, 0],
        _ => [0; 4],
    }
}
