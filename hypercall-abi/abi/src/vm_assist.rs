//! Assistance features: the numbers of `vm_assist`.

use crate::macros::consts;

consts! { u32:
    /// Command: on.
    CMD_ENABLE = 0;
    /// Command: off.
    CMD_DISABLE = 1;
    /// A matter of 32-bit guests.
    TYPE_4GB_SEGMENTS = 0;
    /// A matter of 32-bit guests.
    TYPE_4GB_SEGMENTS_NOTIFY = 1;
    /// Writes to page tables are emulated.
    TYPE_WRITABLE_PAGETABLES = 2;
    /// A matter of 32-bit guests.
    TYPE_PAE_EXTENDED_CR3 = 3;
    /// The I/O privilege level is part of the flags.
    TYPE_ARCHITECTURAL_IOPL = 4;
    /// State times carry a mark while they are written.
    TYPE_RUNSTATE_UPDATE_FLAG = 5;
    /// User mode does not see the machine-to-physical array.
    TYPE_M2P_STRICT = 32;
}

/// Bit map of the features a 64-bit guest may switch.
pub const VALID_MASK_PV64: u64 = 0x3f | 1 << TYPE_M2P_STRICT;
