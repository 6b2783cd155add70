//! The steps from nothing to a domain that only has to be unpaused.
//!
//! `build` in the parent module calls them in order. Each step is one or two hypercalls; what they
//! write comes from the plan. Memory and image have files of their own.
//!
//! Invariant: the domain is destroyed on every way out that is not `PausedDomain::release`.

use super::{Channel, Request};
use crate::client::{Access, ForeignMemory, Hypervisor};
use crate::config::DomainConfig;
use crate::error::ToolError;
use alloc::vec::Vec;
use hypercall_abi::domctl::{Cdf, CreateDomain};
use hypercall_abi::grant::{gtf, GrantEntryV1};
use hypercall_abi::memory::{e820, E820Entry};
use hypercall_abi::shared_info::VcpuInfo;
use hypercall_abi::sysctl::PhysCap;
use hypercall_abi::xen::LEGACY_MAX_VCPUS;
use hypercall_abi::{DomId, Errno, EvtchnPort, GrantRef, Mfn, Pfn, VcpuId, PAGE_SIZE};
use pv_builder::Plan;
use zerocopy::IntoBytes;

/// Memory a domain may use beyond what it has, as the usual toolstack allows.
const SLACK_KIB: u64 = 1024;

/// A domain that cannot run yet. Dropping it destroys the domain.
pub struct BuildingDomain<'h, H: Hypervisor> {
    owned: OwnedDomain<'h, H>,
    store_port: EvtchnPort,
    console_port: EvtchnPort,
    /// The machine frame behind each pseudo-physical frame.
    pub(super) p2m: Vec<Mfn>,
}

/// A domain that only has to be unpaused. Dropping it destroys the domain.
pub struct PausedDomain<'h, H: Hypervisor> {
    owned: OwnedDomain<'h, H>,
    console: Channel,
    store: Channel,
}

/// The right to a domain: it goes when this goes.
struct OwnedDomain<'h, H: Hypervisor> {
    hypervisor: &'h H,
    domain: DomId,
    is_released: bool,
}

impl<H: Hypervisor> Drop for OwnedDomain<'_, H> {
    fn drop(&mut self) {
        if !self.is_released {
            // Only a domain that is gone already can refuse, and then there is nothing to do.
            let _ = self.hypervisor.destroy_domain(self.domain);
        }
    }
}

impl<'h, H: Hypervisor> BuildingDomain<'h, H> {
    /// The hypervisor, independent of this borrow.
    pub(super) fn hypervisor(&self) -> &'h H {
        self.owned.hypervisor
    }

    /// Number of the domain.
    #[must_use]
    pub fn domain(&self) -> DomId {
        self.owned.domain
    }

    /// Step 1: an empty domain.
    pub(super) fn create(hypervisor: &'h H, request: &Request<'_>) -> Result<Self, ToolError> {
        let config = request.config;
        let create = CreateDomain {
            handle: request.uuid.0,
            flags: Cdf::empty(),
            max_vcpus: config.vcpus,
            max_evtchn_port: config.max_event_channels,
            max_grant_frames: limit(config.max_grant_frames),
            max_maptrack_frames: limit(config.max_maptrack_frames),
            grant_opts: grant_version(hypervisor),
            ..CreateDomain::default()
        };
        let domain = hypervisor.create_domain(&create).map_err(|errno| {
            ToolError::hypercall(
                "domctl createdomain",
                format_args!(
                    "max_vcpus={}, max_evtchn_port={}, max_grant_frames={}, max_maptrack_frames={}",
                    create.max_vcpus,
                    create.max_evtchn_port,
                    create.max_grant_frames,
                    create.max_maptrack_frames
                ),
                errno,
                match errno {
                    Errno::ENOMEM => "destroy a domain to get memory",
                    _ => "lower max_grant_frames, max_maptrack_frames or max_event_channels",
                },
            )
        })?;
        Ok(Self {
            owned: OwnedDomain { hypervisor, domain, is_released: false },
            store_port: EvtchnPort::new(0),
            console_port: EvtchnPort::new(0),
            p2m: Vec::new(),
        })
    }

    /// Step 2: vCPUs, share of the processors, most memory, and the map of that memory.
    pub(super) fn set_limits(&mut self, config: &DomainConfig) -> Result<(), ToolError> {
        let (hypervisor, domain) = (self.hypervisor(), self.domain());
        hypervisor.set_max_vcpus(domain, config.vcpus).map_err(|errno| {
            let argument = format_args!("max={}", config.vcpus);
            ToolError::hypercall("domctl max_vcpus", argument, errno, "lower vcpus =")
        })?;
        if config.cpu_weight.is_some() || config.cap.is_some() {
            hypervisor.set_schedule(domain, config.cpu_weight, config.cap).map_err(|errno| {
                let argument = format_args!("weight={:?}, cap={:?}", config.cpu_weight, config.cap);
                let advice = "this scheduler may have no weights: remove cpu_weight = and cap =";
                ToolError::hypercall("domctl scheduler_op", argument, errno, advice)
            })?;
        }
        let max_kib = config.maxmem_mib * 1024 + SLACK_KIB;
        hypervisor.set_max_mem(domain, max_kib).map_err(|errno| {
            let argument = format_args!("max_memkb={max_kib}");
            ToolError::hypercall("domctl max_mem", argument, errno, "lower maxmem =")
        })?;
        let bytes = config.memory_mib << 20;
        let map = [E820Entry::new(0, bytes, e820::RAM)];
        hypervisor.set_memory_map(domain, &map).map_err(|errno| {
            let argument = format_args!("one entry of {bytes:#x} bytes");
            let advice = "the hypervisor must accept a map of one entry";
            ToolError::hypercall("XENMEM_set_memory_map", argument, errno, advice)
        })
    }

    /// Step 3: the domain's ends of the two channels every domain has.
    pub(super) fn open_ports(&mut self) -> Result<(), ToolError> {
        self.store_port = self.open_port("xenstore")?;
        self.console_port = self.open_port("console")?;
        Ok(())
    }

    fn open_port(&self, purpose: &str) -> Result<EvtchnPort, ToolError> {
        let opened = self.hypervisor().alloc_unbound_port(self.domain(), DomId::DOM0);
        opened.map_err(|errno| {
            let argument = format_args!("dom={}, remote_dom=0, for the {purpose}", self.domain());
            let advice = "raise max_event_channels =";
            ToolError::hypercall("EVTCHNOP_alloc_unbound", argument, errno, advice)
        })
    }

    /// Step 6: the hypercall stubs, for a kernel that asks for them.
    pub(super) fn fill_hypercall_page(&mut self, plan: &Plan) -> Result<(), ToolError> {
        let Some(pfn) = plan.hypercall_page else { return Ok(()) };
        let frame = self.frame(pfn)?;
        self.hypervisor().hypercall_init(self.domain(), frame).map_err(|errno| {
            let argument = format_args!("gmfn={frame:#x}, pfn {pfn:#x}");
            let advice = "the kernel's note HYPERCALL_PAGE must name a page of its image";
            ToolError::hypercall("domctl hypercall_init", argument, errno, advice)
        })
    }

    /// Step 7: the hypervisor checks all page tables, from the root down.
    pub(super) fn pin(&mut self, plan: &Plan) -> Result<(), ToolError> {
        let root = self.frame(plan.entry.root)?;
        self.hypervisor().pin_root_table(self.domain(), root).map_err(|errno| {
            let argument = format_args!("mfn={root:#x}");
            let advice = "see 'zl dmesg' for the entry the hypervisor refused";
            ToolError::hypercall("MMUEXT_PIN_L4_TABLE", argument, errno, advice)
        })
    }

    /// Steps 8 and 9: the shared page with events masked, then the first registers.
    pub(super) fn start_vcpu(&mut self, plan: &Plan) -> Result<(), ToolError> {
        let shared_info = self.shared_info_frame()?;
        let mapping = self.map("shared_info", &[shared_info])?;
        mapping.zero(0, PAGE_SIZE);
        for vcpu in 0..LEGACY_MAX_VCPUS {
            let mask = core::mem::offset_of!(VcpuInfo, evtchn_upcall_mask);
            mapping.write(vcpu * size_of::<VcpuInfo>() + mask, &[1]);
        }
        drop(mapping);
        let context = plan.vcpu_context(self.frame(plan.entry.root)?);
        let set = self.hypervisor().set_vcpu_context(self.domain(), VcpuId::new(0), &context);
        set.map_err(|errno| {
            let argument = format_args!("vcpu=0, rip={:#x}", context.user_regs.rip);
            let advice = "the kernel's entry address must be canonical";
            ToolError::hypercall("domctl setvcpucontext", argument, errno, advice)
        })
    }

    /// Step 10: the first two entries of the grant table let the control domain map the rings.
    pub(super) fn seed_grants(&mut self, plan: &Plan) -> Result<(), ToolError> {
        let table = self.hypervisor().grant_table_frame(self.domain(), 0).map_err(|errno| {
            let argument = format_args!("type=grant_table, id=0, frame=0, nr_frames=1");
            let advice = "raise max_grant_frames =";
            ToolError::hypercall("XENMEM_acquire_resource", argument, errno, advice)
        })?;
        let mapping = self.map("grant table", &[table])?;
        let rings = [
            (GrantRef::RESERVED_CONSOLE, plan.console),
            (GrantRef::RESERVED_XENSTORE, plan.xenstore),
        ];
        for (reference, region) in rings {
            let Some(region) = region else { continue };
            let frame = u32::try_from(self.frame(region.first)?.get()).map_err(|_| {
                ToolError::failed("a ring page lies above 16 TiB; version 1 grants cannot name it")
            })?;
            let entry = GrantEntryV1 { flags: gtf::PERMIT_ACCESS, domid: DomId::DOM0, frame };
            let offset = reference.get() as usize * size_of::<GrantEntryV1>();
            mapping.write(offset, entry.as_bytes());
        }
        Ok(())
    }

    /// The last step: everything is in place.
    pub(super) fn finish(self, plan: &Plan) -> Result<PausedDomain<'h, H>, ToolError> {
        let frame = match plan.console {
            Some(region) => self.frame(region.first)?,
            None => return Err(ToolError::failed("the plan has no console page")),
        };
        let console = Channel { frame, port: self.console_port };
        let store = self.store_channel(plan)?;
        Ok(PausedDomain { owned: self.owned, console, store })
    }

    /// The machine frame behind a pseudo-physical frame of the plan.
    pub(super) fn frame(&self, pfn: Pfn) -> Result<Mfn, ToolError> {
        let index = usize::try_from(pfn.get()).unwrap_or(usize::MAX);
        self.p2m.get(index).copied().ok_or_else(|| {
            let frames = self.p2m.len();
            ToolError::failed(alloc::format!("the plan uses frame {pfn} of a domain with {frames}"))
        })
    }

    pub(super) fn shared_info_frame(&self) -> Result<Mfn, ToolError> {
        let info = self.hypervisor().domain_info(self.domain()).map_err(|errno| {
            let argument = format_args!("domain={}", self.domain());
            ToolError::hypercall("domctl getdomaininfo", argument, errno, "try again")
        })?;
        Ok(info.shared_info_frame)
    }

    pub(super) fn map(&self, what: &str, frames: &[Mfn]) -> Result<H::Mapping, ToolError> {
        let mapped = self.hypervisor().map_foreign(self.domain(), frames, Access::ReadWrite);
        mapped.map_err(|errno| {
            let argument =
                format_args!("foreigndom={}, {what}, {} frames", self.domain(), frames.len());
            let advice = "see 'zl dmesg' for the frame the hypervisor refused";
            ToolError::hypercall("mmu_update", argument, errno, advice)
        })
    }

    /// The frame and port of the xenstore ring for the start page.
    pub(super) fn store_channel(&self, plan: &Plan) -> Result<Channel, ToolError> {
        self.channel(plan.xenstore.map(|region| region.first), self.store_port)
    }

    /// The frame and port of the console ring for the start page.
    pub(super) fn console_channel(&self, plan: &Plan) -> Result<Channel, ToolError> {
        self.channel(plan.console.map(|region| region.first), self.console_port)
    }

    fn channel(&self, pfn: Option<Pfn>, port: EvtchnPort) -> Result<Channel, ToolError> {
        match pfn {
            Some(pfn) => Ok(Channel { frame: self.frame(pfn)?, port }),
            None => Ok(Channel { frame: Mfn::new(0), port: EvtchnPort::new(0) }),
        }
    }
}

impl<H: Hypervisor> PausedDomain<'_, H> {
    /// Number of the domain.
    #[must_use]
    pub fn domain(&self) -> DomId {
        self.owned.domain
    }

    /// The console ring and the domain's port for it.
    #[must_use]
    pub fn console(&self) -> Channel {
        self.console
    }

    /// The xenstore ring and the domain's port for it.
    #[must_use]
    pub fn store(&self) -> Channel {
        self.store
    }

    /// Hands the domain to the caller: from here on nobody destroys it by himself.
    #[must_use]
    pub fn release(mut self) -> DomId {
        self.owned.is_released = true;
        self.owned.domain
    }
}

fn limit(frames: Option<u32>) -> i32 {
    // -1 asks for the hypervisor's default.
    frames.and_then(|frames| i32::try_from(frames).ok()).unwrap_or(-1)
}

/// The highest version of grants the hypervisor has.
fn grant_version<H: Hypervisor>(hypervisor: &H) -> u32 {
    match hypervisor.physinfo() {
        Ok(info) if info.capabilities.contains(PhysCap::GNTTAB_V2) => 2,
        _ => 1,
    }
}
