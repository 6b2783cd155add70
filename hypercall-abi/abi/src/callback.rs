//! Registration of entry points: the structures of `callback_op`.

use crate::macros::{abi_struct, consts};

consts! { u32:
    /// Installs an entry point.
    REGISTER = 0;
    /// Removes it.
    UNREGISTER = 1;
}

/// Which entry point.
pub mod kind {
    use crate::macros::consts;

    consts! { u16:
        /// Events.
        EVENT = 0;
        /// Failed segment loads.
        FAILSAFE = 1;
        /// SYSCALL from 64-bit user code.
        SYSCALL = 2;
        /// An old number; not for 64-bit guests.
        SYSENTER_DEPRECATED = 3;
        /// Non-maskable interrupt.
        NMI = 4;
        /// SYSENTER from user code.
        SYSENTER = 5;
        /// SYSCALL from 32-bit user code.
        SYSCALL32 = 7;
    }
}

/// Flag: entry masks events.
pub const MASK_EVENTS: u16 = 1;

abi_struct! {
    /// Argument of `REGISTER`.
    CallbackRegister {
        /// A number of module `kind`.
        kind: u16,
        /// `MASK_EVENTS` or 0.
        flags: u16,
        /// Padding.
        _pad: u32,
        /// The entry point.
        address: u64,
    }
}

abi_struct! {
    /// Argument of `UNREGISTER`.
    CallbackUnregister {
        /// A number of module `kind`.
        kind: u16,
        /// Unused.
        _unused: u16,
    }
}
