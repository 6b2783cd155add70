//! The CPUID leaves of the interface, seen through the forced-emulation prefix.

use crate::macros::consts;

consts! { u32:
    /// First leaf: largest leaf and signature.
    FIRST_LEAF = 0x4000_0000;
    /// Version.
    LEAF_VERSION = 0x4000_0001;
    /// Hypercall page and features.
    LEAF_HYPERCALL = 0x4000_0002;
    /// Time.
    LEAF_TIME = 0x4000_0003;
    /// Fully virtualized guests.
    LEAF_HVM = 0x4000_0004;
    /// Paravirtualized guests.
    LEAF_PV = 0x4000_0005;
    /// Number of leaves behind the first.
    MAX_NUM_LEAVES = 5;
    /// Signature, register ebx: "XenV".
    SIGNATURE_EBX = 0x566e_6558;
    /// Signature, register ecx: "MMXe".
    SIGNATURE_ECX = 0x6558_4d4d;
    /// Signature, register edx: "nVMM".
    SIGNATURE_EDX = 0x4d4d_566e;
    /// First register number for the hypercall page.
    HYPERCALL_MSR_BASE = 0x4000_0000;
    /// Feature: `MMU_PT_UPDATE_PRESERVE_AD` exists.
    FEAT1_MMU_PT_UPDATE_PRESERVE_AD = 1;
    /// Time leaf: RDTSC is emulated.
    TIME_TSC_EMULATED = 1;
    /// Time leaf: the machine's counter is reliable.
    TIME_HOST_TSC_RELIABLE = 2;
    /// Time leaf: RDTSCP is available.
    TIME_RDTSCP = 4;
    /// Leaf for paravirtualized guests: width of machine addresses.
    MACHINE_ADDRESS_WIDTH_MASK = 0xff;
}

/// Bytes before a CPUID instruction that make the hypervisor emulate it.
pub const EMULATE_PREFIX: [u8; 5] = [0x0f, 0x0b, 0x78, 0x65, 0x6e];
