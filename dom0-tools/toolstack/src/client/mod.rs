//! What the toolstack needs of the hypervisor, as typed calls.
//!
//! `builder`, `lifecycle` and `console` are written against the trait here. The control domain
//! implements it with hypercalls, the tests with `fake`, a small simulated hypervisor.
//!
//! Invariant: a call that fails has changed nothing, except `populate_physmap`, which says how far
//! it came, and `destroy_domain`, which may be repeated.

#[cfg(any(test, feature = "fake"))]
pub mod fake;
mod types;

pub use types::{Access, Affinity, PortState, VersionInfo};

use alloc::vec::Vec;
use hypercall_abi::domctl::{CreateDomain, GetDomainInfo, GetVcpuInfo};
use hypercall_abi::memory::E820Entry;
use hypercall_abi::regs::VcpuGuestContext;
use hypercall_abi::sysctl::PhysInfo;
use hypercall_abi::zendo::DomainCounters;
use hypercall_abi::{DomId, Errno, EvtchnPort, Mfn, Pfn, VcpuId};

/// Frames of another domain, mapped one behind the other. Dropping it unmaps them.
///
/// The other domain may change the bytes at any moment: they are copied out and in, never borrowed.
/// Offsets outside the mapping are a mistake of the caller and panic.
pub trait ForeignMemory {
    /// Copies bytes out.
    fn read(&self, offset: usize, into: &mut [u8]);
    /// Copies bytes in.
    fn write(&self, offset: usize, bytes: &[u8]);
    /// Writes zeros.
    fn zero(&self, offset: usize, len: usize);
    /// Reads an aligned word once; later reads are not moved before it.
    fn load_u32(&self, offset: usize) -> u32;
    /// Writes an aligned word once; earlier accesses are not moved behind it.
    fn store_u32(&self, offset: usize, value: u32);
}

/// The control calls of the hypervisor.
pub trait Hypervisor {
    /// Mapped frames of another domain.
    type Mapping: ForeignMemory;

    /// `domctl createdomain`: an empty, paused domain with the next free number.
    ///
    /// # Errors
    /// What the hypervisor says.
    fn create_domain(&self, create: &CreateDomain) -> Result<DomId, Errno>;

    /// `domctl destroydomain`: returns when the domain is dead; the rest of it disappears when
    /// nobody maps its frames any more.
    ///
    /// # Errors
    /// What the hypervisor says.
    fn destroy_domain(&self, domain: DomId) -> Result<(), Errno>;

    /// `domctl pausedomain`.
    ///
    /// # Errors
    /// What the hypervisor says.
    fn pause_domain(&self, domain: DomId) -> Result<(), Errno>;

    /// `domctl unpausedomain`.
    ///
    /// # Errors
    /// What the hypervisor says.
    fn unpause_domain(&self, domain: DomId) -> Result<(), Errno>;

    /// `domctl max_vcpus`.
    ///
    /// # Errors
    /// What the hypervisor says.
    fn set_max_vcpus(&self, domain: DomId, count: u32) -> Result<(), Errno>;

    /// `domctl max_mem`.
    ///
    /// # Errors
    /// What the hypervisor says.
    fn set_max_mem(&self, domain: DomId, max_kib: u64) -> Result<(), Errno>;

    /// `domctl setvcpucontext`.
    ///
    /// # Errors
    /// What the hypervisor says.
    fn set_vcpu_context(
        &self,
        domain: DomId,
        vcpu: VcpuId,
        context: &VcpuGuestContext,
    ) -> Result<(), Errno>;

    /// `domctl hypercall_init`: fills a frame of the domain with the stubs of the hypercall page.
    ///
    /// # Errors
    /// What the hypervisor says.
    fn hypercall_init(&self, domain: DomId, frame: Mfn) -> Result<(), Errno>;

    /// `domctl scheduler_op`: share and limit of processor time; what is `None` stays.
    ///
    /// # Errors
    /// What the hypervisor says.
    fn set_schedule(
        &self,
        domain: DomId,
        weight: Option<u16>,
        cap: Option<u16>,
    ) -> Result<(), Errno>;

    /// `domctl getdomaininfo` of exactly this domain.
    ///
    /// # Errors
    /// `ESRCH` when it does not exist.
    fn domain_info(&self, domain: DomId) -> Result<GetDomainInfo, Errno>;

    /// `sysctl getdomaininfolist`: every domain.
    ///
    /// # Errors
    /// What the hypervisor says.
    fn domain_list(&self) -> Result<Vec<GetDomainInfo>, Errno>;

    /// Counts of what a domain asked of the hypervisor, which Zendo has and Xen has not.
    ///
    /// # Errors
    /// What the hypervisor says; on Xen that there is no such command.
    fn domain_counters(&self, domain: DomId) -> Result<DomainCounters, Errno>;

    /// `domctl getvcpuinfo`.
    ///
    /// # Errors
    /// What the hypervisor says.
    fn vcpu_info(&self, domain: DomId, vcpu: VcpuId) -> Result<GetVcpuInfo, Errno>;

    /// `domctl getvcpuaffinity`.
    ///
    /// # Errors
    /// What the hypervisor says.
    fn vcpu_affinity(&self, domain: DomId, vcpu: VcpuId) -> Result<Affinity, Errno>;

    /// `XENMEM_set_memory_map`.
    ///
    /// # Errors
    /// What the hypervisor says.
    fn set_memory_map(&self, domain: DomId, map: &[E820Entry]) -> Result<(), Errno>;

    /// `XENMEM_populate_physmap`: gives the domain an extent of `2^order` frames at each of `pfns`
    /// and writes the first machine frame of each into `mfns`. Returns how many were given.
    fn populate_physmap(&self, domain: DomId, order: u32, pfns: &[Pfn], mfns: &mut [Mfn]) -> usize;

    /// `XENMEM_acquire_resource`: a frame of the domain's grant table.
    ///
    /// # Errors
    /// What the hypervisor says.
    fn grant_table_frame(&self, domain: DomId, index: u64) -> Result<Mfn, Errno>;

    /// Maps frames of another domain, through `mmu_update` with a foreign domain.
    ///
    /// # Errors
    /// What the hypervisor says about one of the frames; none stays mapped then.
    fn map_foreign(
        &self,
        domain: DomId,
        frames: &[Mfn],
        access: Access,
    ) -> Result<Self::Mapping, Errno>;

    /// `MMUEXT_CLEAR_PAGE` for frames of another domain.
    ///
    /// # Errors
    /// What the hypervisor says.
    fn clear_pages(&self, domain: DomId, frames: &[Mfn]) -> Result<(), Errno>;

    /// `MMUEXT_PIN_L4_TABLE` for a frame of another domain.
    ///
    /// # Errors
    /// What the hypervisor says.
    fn pin_root_table(&self, domain: DomId, frame: Mfn) -> Result<(), Errno>;

    /// `EVTCHNOP_alloc_unbound`: a port in `domain` that `remote` may bind to.
    ///
    /// # Errors
    /// What the hypervisor says.
    fn alloc_unbound_port(&self, domain: DomId, remote: DomId) -> Result<EvtchnPort, Errno>;

    /// `EVTCHNOP_bind_interdomain`: a port of the caller, connected to a port of `domain`.
    ///
    /// # Errors
    /// What the hypervisor says.
    fn bind_port(&self, domain: DomId, port: EvtchnPort) -> Result<EvtchnPort, Errno>;

    /// `EVTCHNOP_close` of a port of the caller. A port that is closed already stays closed.
    fn close_port(&self, port: EvtchnPort);

    /// `EVTCHNOP_send`.
    fn notify(&self, port: EvtchnPort);

    /// `EVTCHNOP_status` of a port of the caller; `None` behind the last possible port.
    fn port_state(&self, port: EvtchnPort) -> Option<PortState>;

    /// `SCHEDOP_remote_shutdown`.
    ///
    /// # Errors
    /// What the hypervisor says.
    fn remote_shutdown(&self, domain: DomId, reason: u32) -> Result<(), Errno>;

    /// `sysctl physinfo`.
    ///
    /// # Errors
    /// What the hypervisor says.
    fn physinfo(&self) -> Result<PhysInfo, Errno>;

    /// `sysctl sched_id`.
    ///
    /// # Errors
    /// What the hypervisor says.
    fn scheduler_id(&self) -> Result<u32, Errno>;

    /// `sysctl readconsole`: the messages of the hypervisor, which are then forgotten if asked.
    ///
    /// # Errors
    /// What the hypervisor says.
    fn read_messages(&self, forget: bool) -> Result<Vec<u8>, Errno>;

    /// `xen_version`, all of its texts.
    fn version(&self) -> VersionInfo;

    /// Nanoseconds since the hypervisor started.
    fn now_ns(&self) -> u64;
}
