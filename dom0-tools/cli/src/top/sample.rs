//! One look at all domains, and what changed between two.

use crate::format;
use alloc::string::String;
use alloc::vec::Vec;
use hypercall_abi::domctl::{GetDomainInfo, INVALID_MAX_VCPU_ID};
use hypercall_abi::zendo::DomainCounters;
use hypercall_abi::VcpuId;
use zl_toolstack::client::Hypervisor;
use zl_toolstack::devices::{DiskCounts, IoStats, NetCounts};
use zl_toolstack::{ToolError, Toolstack};

const NS_PER_S: u128 = 1_000_000_000;
const KIB_PER_PAGE: u64 = 4;

/// One vCPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VcpuSample {
    /// Its number.
    pub vcpu: u32,
    /// Time it ran.
    pub cpu_time_ns: u64,
}

/// One domain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DomainSample {
    /// Its name.
    pub name: String,
    /// What the hypervisor says.
    pub info: GetDomainInfo,
    /// What it asked of the hypervisor; Xen does not say.
    pub counters: Option<DomainCounters>,
    /// Its vCPUs.
    pub vcpus: Vec<VcpuSample>,
    /// Its cards.
    pub nets: Vec<NetCounts>,
    /// Its disks.
    pub disks: Vec<DiskCounts>,
}

/// All domains at one time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sample {
    /// When.
    pub at_ns: u64,
    /// The version of the hypervisor.
    pub version: String,
    /// Memory of the machine.
    pub total_kib: u64,
    /// Memory nobody has.
    pub free_kib: u64,
    /// Processors.
    pub nr_cpus: u32,
    /// Their clock.
    pub cpu_khz: u32,
    /// The domains, by number.
    pub domains: Vec<DomainSample>,
}

impl Sample {
    /// Looks at everything.
    ///
    /// # Errors
    /// The hypervisor refused.
    pub fn of<H: Hypervisor + Clone>(
        stack: &Toolstack<'_, H>,
        io: &dyn IoStats,
    ) -> Result<Self, ToolError> {
        let hypervisor = stack.hypervisor();
        let physical = hypervisor.physinfo().map_err(|errno| {
            let advice = "this must run in the control domain";
            ToolError::hypercall("sysctl physinfo", format_args!("no argument"), errno, advice)
        })?;
        let version = hypervisor.version();
        let domains = stack.list()?.into_iter().map(|row| {
            let domain = row.info.domain;
            DomainSample {
                name: String::from(format::name(&row)),
                info: row.info,
                counters: hypervisor.domain_counters(domain).ok(),
                vcpus: vcpus(hypervisor, &row.info),
                nets: io.nets(domain),
                disks: io.disks(domain),
            }
        });
        Ok(Self {
            domains: domains.collect(),
            at_ns: hypervisor.now_ns(),
            version: alloc::format!("{}.{}{}", version.major, version.minor, version.extra),
            total_kib: physical.total_pages.saturating_mul(KIB_PER_PAGE),
            free_kib: physical.free_pages.saturating_mul(KIB_PER_PAGE),
            nr_cpus: physical.nr_cpus,
            cpu_khz: physical.cpu_khz,
        })
    }
}

fn vcpus<H: Hypervisor>(hypervisor: &H, info: &GetDomainInfo) -> Vec<VcpuSample> {
    if info.max_vcpu_id == INVALID_MAX_VCPU_ID {
        return Vec::new();
    }
    let ids = (0..=info.max_vcpu_id).map(VcpuId::new);
    // A domain that just went has none.
    let found = ids.filter_map(|id| hypervisor.vcpu_info(info.domain, id).ok());
    found.map(|vcpu| VcpuSample { vcpu: vcpu.vcpu.get(), cpu_time_ns: vcpu.cpu_time_ns }).collect()
}

/// What a domain did per second; nothing in the first sample of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rates {
    /// Processor time in tenths of a percent of one processor.
    pub cpu_permille: u64,
    /// Hypercalls, unless the hypervisor does not say.
    pub hypercalls: Option<u64>,
    /// Exceptions.
    pub traps: Option<u64>,
    /// Events sent.
    pub events: Option<u64>,
}

/// What a domain did since the sample before.
pub fn rates(now: &Sample, before: Option<&Sample>, domain: &DomainSample) -> Rates {
    let known = domain.counters;
    let none = known.map(|_| 0);
    let first = Rates { cpu_permille: 0, hypercalls: none, traps: none, events: none };
    // Numbers of domains come again; the handle tells whether it is the same one.
    let is_same = |other: &&DomainSample| {
        other.info.domain == domain.info.domain && other.info.handle == domain.info.handle
    };
    let Some((before, earlier)) =
        before.and_then(|before| Some((before, before.domains.iter().find(is_same)?)))
    else {
        return first;
    };
    let elapsed_ns = now.at_ns.saturating_sub(before.at_ns);
    let cpu_ns = domain.info.cpu_time_ns.saturating_sub(earlier.info.cpu_time_ns);
    let rate = |of: fn(&DomainCounters) -> u64| {
        let (now, before) = (of(&known?), of(&earlier.counters?));
        Some(per_second(now.saturating_sub(before), elapsed_ns))
    };
    Rates {
        cpu_permille: per_second(cpu_ns, elapsed_ns) / 1_000_000,
        hypercalls: rate(|counters| counters.hypercalls),
        traps: rate(|counters| counters.traps),
        events: rate(|counters| counters.events),
    }
}

fn per_second(count: u64, elapsed_ns: u64) -> u64 {
    if elapsed_ns == 0 {
        return 0;
    }
    let rate = u128::from(count) * NS_PER_S / u128::from(elapsed_ns);
    u64::try_from(rate).unwrap_or(u64::MAX)
}
