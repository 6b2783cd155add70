//! The calls of the simulated hypervisor.

use super::memory::FakeMapping;
use super::world::Domain;
use super::FakeHypervisor;
use crate::client::{Access, Affinity, Hypervisor, PortState, VersionInfo};
use alloc::boxed::Box;
use alloc::vec::Vec;
use hypercall_abi::domctl::{self, CreateDomain, GetDomainInfo, GetVcpuInfo};
use hypercall_abi::memory::E820Entry;
use hypercall_abi::regs::VcpuGuestContext;
use hypercall_abi::sysctl::{PhysCap, PhysInfo};
use hypercall_abi::zendo::DomainCounters;
use hypercall_abi::{DomId, Errno, EvtchnPort, Mfn, Pfn, VcpuId, PAGE_SIZE};

impl Hypervisor for FakeHypervisor {
    type Mapping = FakeMapping;

    fn create_domain(&self, create: &CreateDomain) -> Result<DomId, Errno> {
        let mut world = self.world.borrow_mut();
        world.call("createdomain")?;
        if create.max_vcpus == 0 || create.grant_opts == 0 {
            return Err(Errno::EINVAL);
        }
        let shared_info = world.take_frames(2)?;
        let id = world.next_domain;
        world.next_domain += 1;
        let domain = Domain {
            handle: create.handle,
            max_vcpus: create.max_vcpus,
            shared_info,
            grant_table: Mfn::new(shared_info.get() + 1),
            max_port: create.max_evtchn_port,
            pause_count: 1,
            ..Domain::default()
        };
        world.domains.insert(id, domain);
        Ok(DomId::new(id))
    }

    fn destroy_domain(&self, domain: DomId) -> Result<(), Errno> {
        let mut world = self.world.borrow_mut();
        world.call("destroydomain")?;
        if domain == DomId::DOM0 {
            return Err(Errno::EINVAL);
        }
        world.domains.get_mut(&domain.get()).ok_or(Errno::ESRCH)?.is_dying = true;
        world.reap();
        Ok(())
    }

    fn pause_domain(&self, domain: DomId) -> Result<(), Errno> {
        let mut world = self.world.borrow_mut();
        world.call("pausedomain")?;
        world.domain(domain)?.pause_count += 1;
        Ok(())
    }

    fn unpause_domain(&self, domain: DomId) -> Result<(), Errno> {
        let mut world = self.world.borrow_mut();
        world.call("unpausedomain")?;
        let domain = world.domain(domain)?;
        domain.pause_count = domain.pause_count.checked_sub(1).ok_or(Errno::EINVAL)?;
        Ok(())
    }

    fn set_max_vcpus(&self, domain: DomId, count: u32) -> Result<(), Errno> {
        let mut world = self.world.borrow_mut();
        world.call("max_vcpus")?;
        let domain = world.domain(domain)?;
        if count != domain.max_vcpus {
            return Err(Errno::EINVAL);
        }
        domain.has_vcpus = true;
        Ok(())
    }

    fn set_max_mem(&self, domain: DomId, max_kib: u64) -> Result<(), Errno> {
        let mut world = self.world.borrow_mut();
        world.call("max_mem")?;
        world.domain(domain)?.max_pages = max_kib / 4;
        Ok(())
    }

    fn set_vcpu_context(
        &self,
        domain: DomId,
        vcpu: VcpuId,
        context: &VcpuGuestContext,
    ) -> Result<(), Errno> {
        let mut world = self.world.borrow_mut();
        world.call("setvcpucontext")?;
        let domain = world.domain(domain)?;
        if !domain.has_vcpus || vcpu.get() >= domain.max_vcpus || !domain.is_pinned {
            return Err(Errno::EINVAL);
        }
        domain.context = Some(Box::new(*context));
        Ok(())
    }

    fn hypercall_init(&self, domain: DomId, frame: Mfn) -> Result<(), Errno> {
        let mut world = self.world.borrow_mut();
        world.call("hypercall_init")?;
        world.domain(domain)?;
        world.write(frame, 0, &[0xcc; PAGE_SIZE]);
        Ok(())
    }

    fn set_schedule(
        &self,
        domain: DomId,
        weight: Option<u16>,
        _cap: Option<u16>,
    ) -> Result<(), Errno> {
        let mut world = self.world.borrow_mut();
        world.call("scheduler_op")?;
        world.domain(domain)?;
        match weight {
            Some(0) => Err(Errno::EINVAL),
            _ => Ok(()),
        }
    }

    fn domain_info(&self, domain: DomId) -> Result<GetDomainInfo, Errno> {
        let mut world = self.world.borrow_mut();
        world.call("getdomaininfo")?;
        let found = world.domains.get(&domain.get()).ok_or(Errno::ESRCH)?;
        Ok(world.info(domain.get(), found))
    }

    fn domain_list(&self) -> Result<Vec<GetDomainInfo>, Errno> {
        let mut world = self.world.borrow_mut();
        world.call("getdomaininfolist")?;
        Ok(world.domains.iter().map(|(id, domain)| world.info(*id, domain)).collect())
    }

    fn domain_counters(&self, domain: DomId) -> Result<DomainCounters, Errno> {
        let mut world = self.world.borrow_mut();
        world.call("counters")?;
        let now_us = world.now_ns / 1000;
        world.domain(domain)?;
        // Domain 1 makes a hypercall each microsecond, domain 2 two, and so on.
        let of_domain = |per_us: u64| per_us * u64::from(domain.get()) * now_us;
        Ok(DomainCounters {
            hypercalls: of_domain(1),
            traps: of_domain(1) / 2,
            events: of_domain(1) / 4,
            ..DomainCounters::default()
        })
    }

    fn vcpu_info(&self, domain: DomId, vcpu: VcpuId) -> Result<GetVcpuInfo, Errno> {
        let mut world = self.world.borrow_mut();
        world.call("getvcpuinfo")?;
        let runs = domain == DomId::DOM0;
        if vcpu.get() >= world.domain(domain)?.max_vcpus {
            return Err(Errno::EINVAL);
        }
        Ok(GetVcpuInfo {
            vcpu,
            online: 1,
            blocked: u8::from(!runs),
            running: u8::from(runs),
            cpu_time_ns: u64::from(domain.get()) * 1_500_000_000,
            ..GetVcpuInfo::default()
        })
    }

    fn vcpu_affinity(&self, domain: DomId, _vcpu: VcpuId) -> Result<Affinity, Errno> {
        let mut world = self.world.borrow_mut();
        world.call("getvcpuaffinity")?;
        world.domain(domain)?;
        Ok(Affinity { hard: 0b11, soft: 0b01 })
    }

    fn set_memory_map(&self, domain: DomId, map: &[E820Entry]) -> Result<(), Errno> {
        let mut world = self.world.borrow_mut();
        world.call("set_memory_map")?;
        world.domain(domain)?.memory_map = map.to_vec();
        Ok(())
    }

    fn populate_physmap(&self, domain: DomId, order: u32, pfns: &[Pfn], mfns: &mut [Mfn]) -> usize {
        let mut world = self.world.borrow_mut();
        if world.call("populate_physmap").is_err() {
            return 0;
        }
        let pages = 1u64 << order;
        for (done, (pfn, mfn)) in pfns.iter().zip(mfns.iter_mut()).enumerate() {
            let Ok(target) = world.domain(domain) else { return done };
            if target.frames.len() as u64 + pages > target.max_pages {
                return done;
            }
            let Ok(first) = world.take_frames(pages) else { return done };
            let Ok(target) = world.domain(domain) else { return done };
            for page in 0..pages {
                target.frames.insert(pfn.get() + page, Mfn::new(first.get() + page));
            }
            *mfn = first;
        }
        pfns.len()
    }

    fn grant_table_frame(&self, domain: DomId, index: u64) -> Result<Mfn, Errno> {
        let mut world = self.world.borrow_mut();
        world.call("acquire_resource")?;
        match index {
            0 => Ok(world.domain(domain)?.grant_table),
            _ => Err(Errno::EINVAL),
        }
    }

    fn map_foreign(
        &self,
        domain: DomId,
        frames: &[Mfn],
        access: Access,
    ) -> Result<FakeMapping, Errno> {
        self.map(domain, frames, access)
    }

    fn clear_pages(&self, domain: DomId, frames: &[Mfn]) -> Result<(), Errno> {
        let mut world = self.world.borrow_mut();
        world.call("clear_page")?;
        world.domain(domain)?;
        for frame in frames {
            world.write(*frame, 0, &[0; PAGE_SIZE]);
        }
        Ok(())
    }

    fn pin_root_table(&self, domain: DomId, frame: Mfn) -> Result<(), Errno> {
        let mut world = self.world.borrow_mut();
        world.call("pin_l4_table")?;
        world.pin(domain, frame)
    }

    fn alloc_unbound_port(&self, domain: DomId, _remote: DomId) -> Result<EvtchnPort, Errno> {
        let mut world = self.world.borrow_mut();
        world.call("alloc_unbound")?;
        let domain = world.domain(domain)?;
        if domain.ports >= domain.max_port {
            return Err(Errno::ENOSPC);
        }
        domain.ports += 1;
        Ok(EvtchnPort::new(domain.ports))
    }

    fn bind_port(&self, domain: DomId, port: EvtchnPort) -> Result<EvtchnPort, Errno> {
        let mut world = self.world.borrow_mut();
        world.call("bind_interdomain")?;
        if port.get() == 0 || port.get() > world.domain(domain)?.ports {
            return Err(Errno::EINVAL);
        }
        let free = (1..).find(|port| !world.ports.contains(port)).ok_or(Errno::ENOSPC)?;
        world.ports.insert(free);
        Ok(EvtchnPort::new(free))
    }

    fn close_port(&self, port: EvtchnPort) {
        self.world.borrow_mut().ports.remove(&port.get());
    }

    fn notify(&self, port: EvtchnPort) {
        self.world.borrow_mut().notified.push_back(port);
    }

    fn port_state(&self, port: EvtchnPort) -> Option<PortState> {
        let world = self.world.borrow();
        let state = match world.ports.contains(&port.get()) {
            true => PortState::Open,
            false => PortState::Closed,
        };
        (port.get() < 64).then_some(state)
    }

    fn remote_shutdown(&self, domain: DomId, reason: u32) -> Result<(), Errno> {
        let mut world = self.world.borrow_mut();
        world.call("remote_shutdown")?;
        world.domain(domain)?;
        world.shut_down(domain, reason);
        Ok(())
    }

    fn physinfo(&self) -> Result<PhysInfo, Errno> {
        let mut world = self.world.borrow_mut();
        world.call("physinfo")?;
        Ok(PhysInfo {
            threads_per_core: 1,
            cores_per_socket: 2,
            nr_cpus: 2,
            max_cpu_id: 1,
            nr_nodes: 1,
            cpu_khz: 2_000_123,
            capabilities: PhysCap::PV | PhysCap::GNTTAB_V1,
            total_pages: 1024 * 256,
            free_pages: world.free_pages,
            ..PhysInfo::default()
        })
    }

    fn scheduler_id(&self) -> Result<u32, Errno> {
        self.world.borrow_mut().call("sched_id")?;
        Ok(domctl::SCHEDULER_CREDIT2)
    }

    fn read_messages(&self, forget: bool) -> Result<Vec<u8>, Errno> {
        let mut world = self.world.borrow_mut();
        world.call("readconsole")?;
        let messages = world.messages.clone();
        if forget {
            world.messages.clear();
        }
        Ok(messages)
    }

    fn version(&self) -> VersionInfo {
        VersionInfo {
            major: 4,
            minor: 17,
            extra: ".7".into(),
            capabilities: "xen-3.0-x86_64 ".into(),
            changeset: "none".into(),
            command_line: "console=com1".into(),
            compiler: "rustc".into(),
            compiled_by: "nobody".into(),
            compile_domain: "nowhere".into(),
            compile_date: "never".into(),
            page_size: 4096,
            virt_start: 0xffff_8000_0000_0000,
        }
    }

    fn now_ns(&self) -> u64 {
        self.world.borrow().now_ns
    }
}
