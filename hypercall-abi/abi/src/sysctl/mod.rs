//! Control of the whole system: the frame of `sysctl` and, in its submodules, the structures it
//! carries.
//!
//! Made by the toolstack, answered by the hypervisor. Only a privileged domain may use it.

mod cpu;
mod host;

pub mod cmd;

pub use cpu::*;
pub use host::*;

use crate::macros::abi_struct;
use crate::payload::Payload;
use crate::xen::SYSCTL_INTERFACE_VERSION;
use zerocopy::{FromBytes, Immutable, IntoBytes};

abi_struct! {
    /// The argument of `sysctl`.
    XenSysctl {
        /// A number of module `cmd`.
        cmd: u32,
        /// Must be `SYSCTL_INTERFACE_VERSION`.
        interface_version: u32,
        /// The structure of the command.
        u: Payload,
    }
}

impl XenSysctl {
    /// A request without structure.
    #[must_use]
    pub fn new(cmd: u32) -> Self {
        Self { cmd, interface_version: SYSCTL_INTERFACE_VERSION, u: Payload::default() }
    }

    /// A request with structure.
    #[must_use]
    pub fn with_payload<T: IntoBytes + Immutable>(cmd: u32, value: &T) -> Self {
        let mut op = Self::new(cmd);
        op.set_payload(value);
        op
    }

    /// The structure of the command.
    #[must_use]
    pub fn payload<T: FromBytes>(&self) -> T {
        self.u.get()
    }

    /// Replaces the structure of the command.
    pub fn set_payload<T: IntoBytes + Immutable>(&mut self, value: &T) {
        self.u.set(value);
    }
}
