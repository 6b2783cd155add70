//! The non-maskable interrupt: the structures of `nmi_op`.

use crate::macros::{abi_struct, consts};

consts! { u32:
    /// Installs the handler.
    REGISTER_CALLBACK = 0;
    /// Removes the handler.
    UNREGISTER_CALLBACK = 1;
}

consts! { u64:
    /// Bit of `ArchSharedInfo::nmi_reason`: an I/O error.
    NMIREASON_IO_ERROR = 1;
    /// Bit of `ArchSharedInfo::nmi_reason`: a system error on the PCI bus.
    NMIREASON_PCI_SERR = 2;
    /// Bit of `ArchSharedInfo::nmi_reason`: not known.
    NMIREASON_UNKNOWN = 4;
}

abi_struct! {
    /// Argument of `REGISTER_CALLBACK`.
    XennmiCallback {
        /// The handler.
        handler_address: u64,
        /// Unused.
        pad: u64,
    }
}
