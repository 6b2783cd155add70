//! What belongs to no single hypercall: limits, version numbers of interfaces, common structures.

use crate::addr::GuestVa;
use crate::macros::{abi_struct, consts};

/// vCPUs with a structure in the shared page.
pub const LEGACY_MAX_VCPUS: usize = 32;

consts! { u32:
    /// Most vCPUs of a paravirtualized domain.
    MAX_VIRT_CPUS = 8192;
    /// Version the control interface for domains must be called with.
    DOMCTL_INTERFACE_VERSION = 0x15;
    /// Version the control interface for the system must be called with.
    SYSCTL_INTERFACE_VERSION = 0x15;
    /// Version the control interface for the machine must be called with.
    XENPF_INTERFACE_VERSION = 0x0300_0001;
    /// The newest layout of the headers.
    LATEST_INTERFACE_VERSION = 0x0004_0e00;
}

/// UUID of a domain.
pub type DomainHandle = [u8; 16];

abi_struct! {
    /// A bit map in a guest.
    XenctlBitmap {
        /// Address of the bytes.
        bitmap: GuestVa,
        /// Number of bits.
        nr_bits: u32,
        /// Padding.
        _pad: u32,
    }
}

abi_struct! {
    /// Parameters of a domain that belong to the architecture.
    XenArchDomainconfig {
        /// Emulated devices; 0 for a paravirtualized domain.
        emulation_flags: u32,
        /// `X86_MSR_RELAXED` or 0.
        misc_flags: u32,
    }
}

/// Emulated timer, accepted for the hardware domain.
pub const X86_EMU_PIT: u32 = 1 << 8;
/// Reading unknown model-specific registers gives 0.
pub const X86_MSR_RELAXED: u32 = 1;

abi_struct! {
    /// One CPUID leaf of a policy.
    XenCpuidLeaf {
        /// Leaf.
        leaf: u32,
        /// Subleaf, or `CPUID_NO_SUBLEAF`.
        subleaf: u32,
        /// Register eax.
        a: u32,
        /// Register ebx.
        b: u32,
        /// Register ecx.
        c: u32,
        /// Register edx.
        d: u32,
    }
}

/// The leaf has no subleaves.
pub const CPUID_NO_SUBLEAF: u32 = 0xffff_ffff;

abi_struct! {
    /// One model-specific register of a policy.
    XenMsrEntry {
        /// Number.
        idx: u32,
        /// Must be 0.
        flags: u32,
        /// Contents.
        val: u64,
    }
}
