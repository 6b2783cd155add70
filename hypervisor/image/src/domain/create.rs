//! Making a domain: everything but its memory and its vCPUs' contents.
//!
//! Used by the builder of dom0 and by `XEN_DOMCTL_createdomain`. A domain is born paused, with no
//! memory allowed; nothing is left behind when making it fails.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64};
use hv_core::evtchn::{Pollers, PortTable};
use hv_core::grant::{GrantTable, Maptrack};
use hv_core::page::{MmuState, PageList};
use hv_machine::directmap;
use hv_machine::sync::Mutex;
use hypercall_abi::domctl::{Cdf, CreateDomain, GRANT_VERSION_MASK, SCHED_DEFAULT_WEIGHT};
use hypercall_abi::evtchn::NR_CHANNELS_2L;
use hypercall_abi::xen::{LEGACY_MAX_VCPUS, X86_MSR_RELAXED};
use hypercall_abi::{DomId, Errno, Mfn, VcpuId};

use super::{memory, table, Control, Domain, DomainRef, Pages, Ports, Vcpu, NOT_SHUT_DOWN};
use crate::{sched, wake};

/// Most vCPUs of a domain.
pub const MAX_VCPUS: u32 = 1;
/// Most grant frames of a domain.
const MAX_GRANT_FRAMES: i32 = 64;
/// Frames of mapping handles a domain may have unless it asks for fewer.
const MAX_MAPTRACK_FRAMES: i32 = 1024;
/// Bytes of a `vcpu_info`.
const INFO_BYTES: u64 = 64;

/// Highest port a two-level domain can have.
const MAX_PORT: u32 = NR_CHANNELS_2L - 1;

/// Makes a domain and puts it into the table. Number 0 is the control domain.
///
/// # Errors
/// `EINVAL` for what cannot be had, `EEXIST` for a number in use, `ENOMEM`.
pub fn create(id: Option<DomId>, config: &CreateDomain) -> Result<DomainRef, Errno> {
    check(config)?;
    let config = &CreateDomain {
        max_grant_frames: limit(config.max_grant_frames, MAX_GRANT_FRAMES, 1)?,
        max_maptrack_frames: limit(config.max_maptrack_frames, MAX_MAPTRACK_FRAMES, 0)?,
        ..*config
    };
    make(table::choose_id(id)?, config)
}

fn check(config: &CreateDomain) -> Result<(), Errno> {
    let allowed = Cdf::OOS_OFF | Cdf::XS_DOMAIN;
    let version = config.grant_opts & GRANT_VERSION_MASK;
    let ok = allowed.contains(config.flags)
        && config.iommu_opts == 0
        && (1..=MAX_VCPUS).contains(&config.max_vcpus)
        && (1..=2).contains(&version)
        && config.grant_opts & !GRANT_VERSION_MASK == 0
        && config.vmtrace_size == 0
        && config.cpupool_id == 0
        && config.arch.emulation_flags == 0
        && config.arch.misc_flags & !X86_MSR_RELAXED == 0;
    ok.then_some(()).ok_or(Errno::EINVAL)
}

/// Limits of a grant table: -1 asks for the default.
fn limit(asked: i32, default: i32, least: i32) -> Result<i32, Errno> {
    match asked {
        ..0 => Ok(default),
        _ if (least..=default).contains(&asked) => Ok(asked),
        _ => Err(Errno::EINVAL),
    }
}

fn make(id: DomId, config: &CreateDomain) -> Result<DomainRef, Errno> {
    let max_port = config.max_evtchn_port.min(MAX_PORT);
    let ports = PortTable::new(id, max_port, config.max_vcpus)?;
    let shared_info = memory::take_special(id)?;
    let grant_frame =
        memory::take_special(id).inspect_err(|_| memory::undo_special(shared_info))?;
    build(id, config, ports, shared_info, grant_frame)
        .and_then(table::insert)
        .and_then(|dom| {
            let known = wake::reserve().and_then(|()| sched::add_domain(&dom));
            known.inspect_err(|_| table::remove(id))?;
            Ok(dom)
        })
        .inspect_err(|_| [shared_info, grant_frame].into_iter().for_each(memory::undo_special))
}

fn build(
    id: DomId,
    config: &CreateDomain,
    table: PortTable,
    shared_info: Mfn,
    grant_frame: Mfn,
) -> Result<Domain, Errno> {
    mask_upcalls(shared_info);
    let grants =
        GrantTable::new(grant_frame, config.max_grant_frames as u32).map_err(|_| Errno::ENOMEM)?;
    Ok(Domain {
        id,
        privileged: id == DomId::DOM0,
        relaxed_msrs: config.arch.misc_flags & X86_MSR_RELAXED != 0,
        shared_info,
        shared: directmap::table(shared_info),
        vcpus: vcpus(config.max_vcpus, shared_info)?,
        vcpus_created: AtomicBool::default(),
        mmu: Mutex::new(MmuState::default()),
        pages: Mutex::new(Pages {
            list: PageList::default(),
            tot: 0,
            max: 0,
            special: Vec::from([shared_info, grant_frame]),
            run: None,
        }),
        ports: Mutex::new(Ports { table, pollers: Pollers::new() }),
        grants: Mutex::new(grants),
        maptrack: Mutex::new(Maptrack::new(config.max_maptrack_frames as u32)),
        control: Mutex::new(Control {
            handle: config.handle,
            weight: SCHED_DEFAULT_WEIGHT,
            ..Control::default()
        }),
        rights: Mutex::default(),
        has_devices: AtomicBool::default(),
        pause_count: AtomicU32::new(1),
        controller_pauses: AtomicU32::new(1),
        shutdown: AtomicU32::new(NOT_SHUT_DOWN),
        dying: AtomicBool::default(),
        dead: AtomicBool::default(),
        vm_assist: AtomicU64::default(),
        dirty_cpus: AtomicU64::default(),
        created: AtomicBool::default(),
    })
}

fn vcpus(count: u32, shared_info: Mfn) -> Result<Box<[Arc<Vcpu>]>, Errno> {
    let mut vcpus = Vec::new();
    vcpus.try_reserve_exact(count as usize).map_err(|_| Errno::ENOMEM)?;
    vcpus.extend((0..count).map(|id| Arc::new(Vcpu::new(VcpuId::new(id), shared_info))));
    Ok(vcpus.into_boxed_slice())
}

/// Events start masked for every vCPU that has its information in the shared page.
pub fn mask_upcalls(shared_info: Mfn) {
    for vcpu in 0..LEGACY_MAX_VCPUS {
        let mask = &directmap::bytes8(shared_info)[vcpu * INFO_BYTES as usize + 1];
        mask.store(1, core::sync::atomic::Ordering::Relaxed);
    }
}
