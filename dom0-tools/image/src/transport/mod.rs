//! The hypercalls behind the toolstack's trait.
//!
//! `Xen` has no state: each call fills a structure of the interface, makes the hypercall through
//! `pvkernel-xen`, and takes the answer out. Mapped frames are `pvkernel-xen`'s foreign mappings,
//! counted here for leak checks.

mod control;
mod mapping;
mod texts;

pub use mapping::{mapped_frames, ForeignFrames};

use crate::services;
use alloc::boxed::Box;
use alloc::vec::Vec;
use hypercall_abi::domctl::{CreateDomain, GetDomainInfo, GetVcpuInfo};
use hypercall_abi::memory::{resource, E820Entry};
use hypercall_abi::mmu::{mmuext, MmuextOp};
use hypercall_abi::regs::VcpuGuestContext;
use hypercall_abi::sysctl::PhysInfo;
use hypercall_abi::zendo::DomainCounters;
use hypercall_abi::{evtchn, DomId, Errno, EvtchnPort, Mfn, Pfn, VcpuId};
use pvkernel_xen::hypercall::{self, memory, sched};
use pvkernel_xen::{event, time};
use zl_toolstack::client::{Access, Affinity, Hypervisor, PortState, VersionInfo};

/// The hypervisor this domain runs on.
#[derive(Clone, Copy, Debug)]
pub struct Xen;

/// Frames of this domain's grant table.
pub fn grant_frames() -> u64 {
    hypercall::grant::query_size(DomId::SELF).map_or(0, |size| u64::from(size.nr_frames))
}

impl Hypervisor for Xen {
    type Mapping = ForeignFrames;

    fn create_domain(&self, create: &CreateDomain) -> Result<DomId, Errno> {
        control::create_domain(create)
    }

    fn destroy_domain(&self, domain: DomId) -> Result<(), Errno> {
        control::destroy_domain(domain)
    }

    fn pause_domain(&self, domain: DomId) -> Result<(), Errno> {
        control::pause_domain(domain)
    }

    fn unpause_domain(&self, domain: DomId) -> Result<(), Errno> {
        control::unpause_domain(domain)
    }

    fn set_max_vcpus(&self, domain: DomId, count: u32) -> Result<(), Errno> {
        control::set_max_vcpus(domain, count)
    }

    fn set_max_mem(&self, domain: DomId, max_kib: u64) -> Result<(), Errno> {
        control::set_max_mem(domain, max_kib)
    }

    fn set_vcpu_context(
        &self,
        domain: DomId,
        vcpu: VcpuId,
        context: &VcpuGuestContext,
    ) -> Result<(), Errno> {
        control::set_vcpu_context(domain, vcpu, context)
    }

    fn hypercall_init(&self, domain: DomId, frame: Mfn) -> Result<(), Errno> {
        control::hypercall_init(domain, frame)
    }

    fn set_schedule(
        &self,
        domain: DomId,
        weight: Option<u16>,
        cap: Option<u16>,
    ) -> Result<(), Errno> {
        control::set_schedule(domain, weight, cap)
    }

    fn domain_info(&self, domain: DomId) -> Result<GetDomainInfo, Errno> {
        control::domain_info(domain)
    }

    fn domain_list(&self) -> Result<Vec<GetDomainInfo>, Errno> {
        control::domain_list()
    }

    fn domain_counters(&self, domain: DomId) -> Result<DomainCounters, Errno> {
        control::domain_counters(domain)
    }

    fn vcpu_info(&self, domain: DomId, vcpu: VcpuId) -> Result<GetVcpuInfo, Errno> {
        control::vcpu_info(domain, vcpu)
    }

    fn vcpu_affinity(&self, domain: DomId, vcpu: VcpuId) -> Result<Affinity, Errno> {
        control::vcpu_affinity(domain, vcpu)
    }

    fn set_memory_map(&self, domain: DomId, map: &[E820Entry]) -> Result<(), Errno> {
        memory::set_memory_map(domain, map)
    }

    fn populate_physmap(&self, domain: DomId, order: u32, pfns: &[Pfn], mfns: &mut [Mfn]) -> usize {
        memory::populate_physmap(domain, order, pfns, mfns)
    }

    fn grant_table_frame(&self, domain: DomId, index: u64) -> Result<Mfn, Errno> {
        let mut frames = [Mfn::INVALID];
        let (kind, id) = (resource::GRANT_TABLE, resource::GRANT_TABLE_ID_SHARED);
        memory::acquire_resource(domain, kind, id, index, &mut frames)?;
        Ok(frames[0])
    }

    fn map_foreign(
        &self,
        domain: DomId,
        frames: &[Mfn],
        access: Access,
    ) -> Result<ForeignFrames, Errno> {
        ForeignFrames::new(domain, frames, access)
    }

    fn clear_pages(&self, domain: DomId, frames: &[Mfn]) -> Result<(), Errno> {
        let op = |frame: &Mfn| frame_op(mmuext::CLEAR_PAGE, *frame);
        hypercall::mmuext(&frames.iter().map(op).collect::<Vec<_>>(), domain)
    }

    fn pin_root_table(&self, domain: DomId, frame: Mfn) -> Result<(), Errno> {
        hypercall::mmuext(&[frame_op(mmuext::PIN_L4_TABLE, frame)], domain)
    }

    fn alloc_unbound_port(&self, domain: DomId, remote: DomId) -> Result<EvtchnPort, Errno> {
        hypercall::evtchn::alloc_unbound(domain, remote)
    }

    fn bind_port(&self, domain: DomId, port: EvtchnPort) -> Result<EvtchnPort, Errno> {
        let local = event::bind_interdomain(domain, port)?;
        event::on_event(local, Box::new(move || services::port_fired(local)));
        Ok(local)
    }

    fn close_port(&self, port: EvtchnPort) {
        // A port that is not open cannot be closed, and is as wanted.
        let _ = event::unbind(port);
    }

    fn notify(&self, port: EvtchnPort) {
        // The other end may be gone; then nobody waits for the notification.
        let _ = event::notify(port);
    }

    fn port_state(&self, port: EvtchnPort) -> Option<PortState> {
        let state = hypercall::evtchn::status(DomId::SELF, port).ok()?;
        Some(match state.status {
            evtchn::status::CLOSED => PortState::Closed,
            _ => PortState::Open,
        })
    }

    fn remote_shutdown(&self, domain: DomId, reason: u32) -> Result<(), Errno> {
        sched::remote_shutdown(domain, reason)
    }

    fn physinfo(&self) -> Result<PhysInfo, Errno> {
        control::physinfo()
    }

    fn scheduler_id(&self) -> Result<u32, Errno> {
        control::scheduler_id()
    }

    fn read_messages(&self, forget: bool) -> Result<Vec<u8>, Errno> {
        control::read_messages(forget)
    }

    fn version(&self) -> VersionInfo {
        texts::version()
    }

    fn now_ns(&self) -> u64 {
        time::now_ns()
    }
}

fn frame_op(cmd: u32, frame: Mfn) -> MmuextOp {
    MmuextOp { cmd, arg1: frame.get(), ..MmuextOp::default() }
}
