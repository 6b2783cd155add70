//! Builds a PV64 domain, step by step, through foreign mappings.
//!
//! Called by `lifecycle` for `zl create` and for restarts. The order of the steps is that of every
//! Xen toolstack: an empty domain, its memory, its image, its page tables and start page, its first
//! registers. What goes where is decided by the plan of `pv-builder`; this module applies it.
//!
//! Two types mark the way: a [`BuildingDomain`] owns a domain that cannot run yet, a
//! [`PausedDomain`] one that only has to be unpaused. Both destroy the domain when they are dropped,
//! so that no failure on the way leaves anything behind.
//!
//! Invariant: when the root table is pinned, no frame of the domain is mapped here any more; a
//! mapping that may write to a page table would make the hypervisor refuse it.

mod image;
mod memory;
mod steps;
#[cfg(test)]
mod tests;

pub use steps::{BuildingDomain, PausedDomain};

use crate::client::Hypervisor;
use crate::config::{DomainConfig, Uuid};
use crate::error::ToolError;
use alloc::format;
use hypercall_abi::{EvtchnPort, Mfn};
use pv_builder::{BuildKind, KernelInfo, Params, Plan, PlanError};

/// Pages of one MiB.
const PAGES_PER_MIB: u64 = 256;

/// Everything a domain is built from.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// The configuration.
    pub config: &'a DomainConfig,
    /// Its unique number.
    pub uuid: Uuid,
    /// The bytes of its kernel.
    pub kernel: &'a [u8],
    /// The bytes of its ramdisk.
    pub ramdisk: Option<&'a [u8]>,
}

/// The page and the port through which a service talks to a domain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Channel {
    /// The ring page.
    pub frame: Mfn,
    /// The port in the domain, open for the control domain to bind to.
    pub port: EvtchnPort,
}

/// Builds a domain up to the point where it only has to be unpaused.
///
/// # Errors
/// The step that failed; nothing is left of the domain then.
pub fn build<'h, H: Hypervisor>(
    hypervisor: &'h H,
    request: &Request<'_>,
) -> Result<PausedDomain<'h, H>, ToolError> {
    let kernel = read_kernel(request)?;
    let plan = plan_domain(request, &kernel)?;
    check_free_memory(hypervisor, request.config)?;
    let mut building = BuildingDomain::create(hypervisor, request)?;
    building.set_limits(request.config)?;
    building.open_ports()?;
    building.populate(plan.nr_pages)?;
    building.write_image(request, &kernel, &plan)?;
    building.fill_hypercall_page(&plan)?;
    building.pin(&plan)?;
    building.start_vcpu(&plan)?;
    building.seed_grants(&plan)?;
    building.finish(&plan)
}

fn read_kernel(request: &Request<'_>) -> Result<KernelInfo, ToolError> {
    KernelInfo::parse(request.kernel).map_err(|error| {
        let file = &request.config.kernel;
        ToolError::failed(format!("{file}: {error}; give a PV64 kernel in kernel ="))
    })
}

fn plan_domain(request: &Request<'_>, kernel: &KernelInfo) -> Result<Plan, ToolError> {
    let config = request.config;
    let params = Params {
        kind: BuildKind::DomU,
        nr_pages: config.memory_mib * PAGES_PER_MIB,
        ramdisk_len: request.ramdisk.map(|ramdisk| ramdisk.len() as u64),
        cmdline: &config.cmdline,
        start_info_extra: 0,
    };
    Plan::new(kernel, params).map_err(|error| {
        let advice = match error {
            PlanError::TooLittleMemory { .. } => "raise memory = in its configuration",
            PlanError::Kernel(_) => "give another kernel in kernel =",
            _ => "check memory =, ramdisk = and cmdline =",
        };
        ToolError::failed(format!("{}: {error}; {advice}", config.kernel))
    })
}

/// Asks before anything is built, so that the answer can be in the person's own terms.
fn check_free_memory<H: Hypervisor>(
    hypervisor: &H,
    config: &DomainConfig,
) -> Result<(), ToolError> {
    let info = hypervisor.physinfo().map_err(|errno| {
        let advice = "this must run in the control domain";
        ToolError::hypercall("sysctl physinfo", format_args!("no argument"), errno, advice)
    })?;
    let free_mib = info.free_pages.saturating_sub(info.outstanding_pages) / PAGES_PER_MIB;
    if config.memory_mib > free_mib {
        return Err(ToolError::failed(format!(
            "too little memory: '{}' wants {} MiB, {free_mib} MiB are free; lower memory = or \
             destroy a domain",
            config.name, config.memory_mib
        )));
    }
    Ok(())
}
