//! Small types of the control calls that the interface has no structure for.

use alloc::string::String;

/// How frames of another domain are mapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// For reading.
    ReadOnly,
    /// For reading and writing.
    ReadWrite,
}

/// The processors a vCPU may run on, one bit each, the first 64 of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Affinity {
    /// Where it may run.
    pub hard: u64,
    /// Where it runs best.
    pub soft: u64,
}

/// Whether a port is in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PortState {
    /// Free.
    Closed,
    /// In use in any way.
    Open,
}

/// What the hypervisor says about itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VersionInfo {
    /// Major number.
    pub major: u32,
    /// Minor number.
    pub minor: u32,
    /// What follows the numbers.
    pub extra: String,
    /// Kinds of guests it runs.
    pub capabilities: String,
    /// Its source version.
    pub changeset: String,
    /// Its command line.
    pub command_line: String,
    /// The compiler it was built with.
    pub compiler: String,
    /// Who built it.
    pub compiled_by: String,
    /// Where it was built.
    pub compile_domain: String,
    /// When it was built.
    pub compile_date: String,
    /// Bytes of a page.
    pub page_size: u64,
    /// First address of the hypervisor.
    pub virt_start: u64,
}
