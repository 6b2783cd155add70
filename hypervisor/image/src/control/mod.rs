//! The control interface: what a toolstack asks of the hypervisor about other domains.

pub mod access;
pub mod affinity;
pub mod context;
pub mod domctl;
pub mod info;
pub mod pageinfo;
pub mod policy;
pub mod rights;
pub mod sysctl;
pub mod topology;
