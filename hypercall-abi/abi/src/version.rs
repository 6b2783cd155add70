//! Version, names and features: the structures of `xen_version`.

use crate::macros::{abi_struct, consts};

consts! { u32:
    /// Version number, as the return value.
    VERSION = 0;
    /// Text behind the version number.
    EXTRAVERSION = 1;
    /// Who built it and how.
    COMPILE_INFO = 2;
    /// Kinds of guests.
    CAPABILITIES = 3;
    /// Source revision.
    CHANGESET = 4;
    /// Where the hypervisor's hole begins.
    PLATFORM_PARAMETERS = 5;
    /// Feature bits.
    GET_FEATURES = 6;
    /// Page size, as the return value.
    PAGESIZE = 7;
    /// The domain's UUID.
    GUEST_HANDLE = 8;
    /// The hypervisor's command line.
    COMMANDLINE = 9;
    /// Identification of the build.
    BUILD_ID = 10;
}

/// Bytes of the answer to `EXTRAVERSION`.
pub const EXTRAVERSION_LEN: usize = 16;
/// Bytes of the answer to `CAPABILITIES`.
pub const CAPABILITIES_INFO_LEN: usize = 1024;
/// Bytes of the answer to `CHANGESET`.
pub const CHANGESET_INFO_LEN: usize = 64;
/// Bytes of the answer to `COMMANDLINE`.
pub const COMMANDLINE_LEN: usize = 1024;
/// The version of the interface: what `VERSION` returns for 4.17.
pub const XEN_4_17: u32 = version_number(4, 17);
/// The kind of guest this interface is for, as `CAPABILITIES` names it.
pub const GUEST_TYPE_PV64: &str = "xen-3.0-x86_64";

/// The number `VERSION` returns.
#[must_use]
pub const fn version_number(major: u16, minor: u16) -> u32 {
    (major as u32) << 16 | minor as u32
}

abi_struct! {
    /// Answer to `COMPILE_INFO`.
    XenCompileInfo {
        /// Compiler.
        compiler: [u8; 64],
        /// User.
        compile_by: [u8; 16],
        /// Host.
        compile_domain: [u8; 32],
        /// Date.
        compile_date: [u8; 32],
    }
}

abi_struct! {
    /// Answer to `PLATFORM_PARAMETERS`.
    XenPlatformParameters {
        /// Start of the hypervisor's hole.
        virt_start: u64,
    }
}

abi_struct! {
    /// Argument of `GET_FEATURES`.
    XenFeatureInfo {
        /// In: which 32 bits.
        submap_idx: u32,
        /// Out: the bits.
        submap: u32,
    }
}

abi_struct! {
    /// Head of the argument of `BUILD_ID`; the bytes follow.
    XenBuildId {
        /// In: room for bytes. Out: bytes.
        len: u32,
    }
}

/// Feature bits, numbered from 0.
pub mod xenfeat {
    use crate::macros::consts;

    consts! { u32:
        /// Page tables may be written directly.
        WRITABLE_PAGE_TABLES = 0;
        /// Descriptor tables may be written directly.
        WRITABLE_DESCRIPTOR_TABLES = 1;
        /// The hypervisor translates frames.
        AUTO_TRANSLATED_PHYSMAP = 2;
        /// The guest kernel runs in ring 0.
        SUPERVISOR_MODE_KERNEL = 3;
        /// A matter of 32-bit guests.
        PAE_PGDIR_ABOVE_4GB = 4;
        /// `MMU_PT_UPDATE_PRESERVE_AD` exists.
        MMU_PT_UPDATE_PRESERVE_AD = 5;
        /// A matter of 32-bit guests.
        HIGHMEM_ASSIST = 6;
        /// Grant mappings keep the guest's own bits.
        GNTTAB_MAP_AVAIL_BITS = 7;
        /// A matter of fully virtualized guests.
        HVM_CALLBACK_VECTOR = 8;
        /// A matter of fully virtualized guests.
        HVM_SAFE_PVCLOCK = 9;
        /// A matter of fully virtualized guests.
        HVM_PIRQS = 10;
        /// May be (or is) the control domain.
        DOM0 = 11;
        /// Virtual nodes in reservations.
        MEMORY_OP_VNODE_SUPPORTED = 13;
        /// A matter of another architecture.
        ARM_SMCCC_SUPPORTED = 14;
        /// A matter of fully virtualized guests.
        LINUX_RSDP_UNRESTRICTED = 15;
        /// Frames are not what devices see.
        NOT_DIRECT_MAPPED = 16;
        /// Frames are what devices see.
        DIRECT_MAPPED = 17;
        /// Number of 32-bit groups.
        NR_SUBMAPS = 1;
    }
}
