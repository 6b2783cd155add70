//! The entry points a guest registers besides its trap table.
//!
//! One per vCPU. Written by `set_callbacks`, `callback_op` and vCPU contexts; read on every event
//! and every system call of a guest user program.
//!
//! Invariant: an entry point that is set is canonical; one that is not set makes a delivery fail,
//! it is never entered at address 0.

use super::table::{Handler, TrapTable};
use crate::ensure;
use hypercall_abi::addr::is_canonical;
use hypercall_abi::callback::{kind, MASK_EVENTS};
use hypercall_abi::Errno;

/// The entry points of a vCPU.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Callbacks {
    /// Events; always masks further events.
    pub event: Option<Handler>,
    /// Failed segment loads.
    pub failsafe: Option<Handler>,
    /// SYSCALL from 64-bit user code.
    pub syscall: Option<Handler>,
    /// SYSCALL from 32-bit user code.
    pub syscall32: Option<Handler>,
    /// SYSENTER from user code.
    pub sysenter: Option<Handler>,
}

impl Callbacks {
    /// `set_callbacks`: an address that is not canonical leaves its entry point as it was.
    pub fn set(&mut self, event: u64, failsafe: u64, syscall: u64) {
        for (which, address) in
            [(kind::EVENT, event), (kind::FAILSAFE, failsafe), (kind::SYSCALL, syscall)]
        {
            if is_canonical(address) {
                self.install(which, address, false);
            }
        }
    }

    /// `CALLBACKOP_register`. The non-maskable interrupt lives in the trap table.
    ///
    /// # Errors
    /// `EINVAL` for an address that is not canonical, `ENOSYS` for an unknown type.
    pub fn register(
        &mut self,
        which: u16,
        flags: u16,
        address: u64,
        table: &mut TrapTable,
    ) -> Result<(), Errno> {
        ensure(is_canonical(address), Errno::EINVAL)?;
        if which == kind::NMI {
            return table.register_nmi(address);
        }
        let is_known = self.install(which, address, flags & MASK_EVENTS != 0);
        is_known.then_some(()).ok_or(Errno::ENOSYS)
    }

    /// `CALLBACKOP_unregister`.
    ///
    /// # Errors
    /// `EINVAL` for an entry point that cannot be removed, `ENOSYS` for an unknown type.
    pub fn unregister(&self, which: u16, table: &mut TrapTable) -> Result<(), Errno> {
        match which {
            kind::NMI => table.register_nmi(0),
            kind::EVENT | kind::FAILSAFE | kind::SYSCALL | kind::SYSENTER | kind::SYSCALL32 => {
                Err(Errno::EINVAL)
            }
            _ => Err(Errno::ENOSYS),
        }
    }

    /// Returns whether the type is known.
    fn install(&mut self, which: u16, address: u64, masks_events: bool) -> bool {
        let slot = match which {
            kind::EVENT => &mut self.event,
            kind::FAILSAFE => &mut self.failsafe,
            kind::SYSCALL => &mut self.syscall,
            kind::SYSCALL32 => &mut self.syscall32,
            kind::SYSENTER => &mut self.sysenter,
            _ => return false,
        };
        *slot = Handler::new(address, masks_events || which == kind::EVENT);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn set_callbacks_skips_bad_addresses_and_can_remove() {
        let mut callbacks = Callbacks::default();
        callbacks.set(0x1000, 0x2000, 0x3000);
        callbacks.set(0x1001, 1 << 50, 0);
        assert_eq!(callbacks.event, Handler::new(0x1001, true));
        assert_eq!(callbacks.failsafe, Handler::new(0x2000, false));
        assert_eq!(callbacks.syscall, None);
    }

    #[test]
    fn registration_follows_the_type_table() {
        let (mut callbacks, mut table) = (Callbacks::default(), TrapTable::default());
        for known in [0, 1, 2, 4, 5, 7] {
            assert_eq!(callbacks.register(known, 1, 0x1000, &mut table), Ok(()), "{known}");
            let bad = callbacks.register(known, 1, 1 << 55, &mut table);
            assert_eq!(bad, Err(Errno::EINVAL));
        }
        for unknown in [3, 6, 8, 0xffff] {
            let result = callbacks.register(unknown, 1, 0x1000, &mut table);
            assert_eq!(result, Err(Errno::ENOSYS), "{unknown}");
            assert_eq!(callbacks.unregister(unknown, &mut table), Err(Errno::ENOSYS));
        }
        assert!(callbacks.syscall32.unwrap().masks_events());
        assert!(table.handler(2).unwrap().masks_events());
        assert_eq!(callbacks.unregister(4, &mut table), Ok(()));
        assert_eq!(table.handler(2), None);
        assert_eq!(callbacks.unregister(0, &mut table), Err(Errno::EINVAL));
    }

    #[test]
    fn the_event_entry_masks_events_even_when_not_asked_to() {
        let (mut callbacks, mut table) = (Callbacks::default(), TrapTable::default());
        callbacks.register(0, 0, 0x1000, &mut table).unwrap();
        callbacks.register(2, 0, 0x1000, &mut table).unwrap();
        assert!(callbacks.event.unwrap().masks_events());
        assert!(!callbacks.syscall.unwrap().masks_events());
    }
}
