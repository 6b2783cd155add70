//! Control of one domain: the frame of `domctl` and, in its submodules, the structures it carries.
//!
//! Made by the toolstack, answered by the hypervisor. Only a privileged domain may use it.

mod access;
mod domain;
mod policy;
mod vcpu;

pub mod cmd;

pub use access::*;
pub use domain::*;
pub use policy::*;
pub use vcpu::*;

use crate::ids::DomId;
use crate::macros::abi_struct;
use crate::payload::Payload;
use crate::xen::DOMCTL_INTERFACE_VERSION;
use zerocopy::{FromBytes, Immutable, IntoBytes};

abi_struct! {
    /// The argument of `domctl`.
    XenDomctl {
        /// A number of module `cmd`.
        cmd: u32,
        /// Must be `DOMCTL_INTERFACE_VERSION`.
        interface_version: u32,
        /// The domain.
        domain: DomId,
        /// Padding.
        _pad: [u16; 3],
        /// The structure of the command.
        u: Payload,
    }
}

impl XenDomctl {
    /// A request without structure.
    #[must_use]
    pub fn new(cmd: u32, domain: DomId) -> Self {
        Self { cmd, interface_version: DOMCTL_INTERFACE_VERSION, domain, ..Self::default() }
    }

    /// A request with structure.
    #[must_use]
    pub fn with_payload<T: IntoBytes + Immutable>(cmd: u32, domain: DomId, value: &T) -> Self {
        let mut op = Self::new(cmd, domain);
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
