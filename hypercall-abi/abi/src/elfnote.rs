//! Numbers of the ELF notes with the name "Xen".

use crate::macros::consts;

/// Name of the notes, without the terminating zero.
pub const NAME: &[u8] = b"Xen";

consts! { u32:
    /// Free text.
    INFO = 0;
    /// Entry point.
    ENTRY = 1;
    /// Address of the hypercall page.
    HYPERCALL_PAGE = 2;
    /// Address of pseudo-physical frame 0.
    VIRT_BASE = 3;
    /// What to subtract from physical addresses of the file.
    PADDR_OFFSET = 4;
    /// Version of the interface, a text.
    XEN_VERSION = 5;
    /// Name of the guest, a text.
    GUEST_OS = 6;
    /// Version of the guest, a text.
    GUEST_VERSION = 7;
    /// Kind of loader, a text.
    LOADER = 8;
    /// A matter of 32-bit guests.
    PAE_MODE = 9;
    /// Names of features, a text.
    FEATURES = 10;
    /// Whether to load the symbol table.
    BSD_SYMTAB = 11;
    /// Lowest address the hypervisor may use.
    HV_START_LOW = 12;
    /// How to recognise an entry that holds a frame.
    L1_MFN_VALID = 13;
    /// Whether the guest understands a cancelled suspend.
    SUSPEND_CANCEL = 14;
    /// Where to map the initial frame list.
    INIT_P2M = 15;
    /// Whether the ramdisk may stay unmapped.
    MOD_START_PFN = 16;
    /// Bit map of features.
    SUPPORTED_FEATURES = 17;
    /// A matter of fully virtualized guests.
    PHYS32_ENTRY = 18;
    /// The largest number.
    MAX = 18;
}
