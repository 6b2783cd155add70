//! Making a domain: everything but its memory and its vCPUs' contents.
//!
//! Used by the builder of dom0 and by `XEN_DOMCTL_createdomain`. A domain is born paused, with no
//! memory allowed; nothing is left behind when making it fails.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64};
use hv_core::evtchn::{Pollers, PortTable};
use hv_core::grant::{GrantTable, Maptrack};
use hv_core::page::{MmuState, PageList};
use hv_machine::directmap;
use hv_machine::sync::Mutex;
use hypercall_abi::addr::Mfn;
use hypercall_abi::domctl::SCHED_DEFAULT_WEIGHT;
use hypercall_abi::errno::Errno;
use hypercall_abi::ids::{DomId, VcpuId};
use hypercall_abi::xen::LEGACY_MAX_VCPUS;

use super::destroy::Stage;
use super::{special, table, Control, Domain, DomainRef, Pages, Ports, Vcpu, NOT_SHUT_DOWN};
use crate::control::rights::Rights;
use crate::{sched, wake};

/// Most vCPUs of a domain.
pub const MAX_VCPUS: u32 = 1;
/// Most grant frames of a domain.
pub const MAX_GRANT_FRAMES: u32 = 64;
/// Frames of mapping handles a domain may have unless it asks for fewer.
pub const MAX_MAPTRACK_FRAMES: u32 = 1024;
/// Bytes of a `vcpu_info`.
const INFO_BYTES: u64 = 64;

/// What the maker chooses.
pub struct Params {
    /// The wanted number.
    pub id: Option<DomId>,
    /// Whether it is a control domain.
    pub privileged: bool,
    /// The toolstack's name for it.
    pub handle: [u8; 16],
    /// vCPUs.
    pub max_vcpus: u32,
    /// Highest event channel port.
    pub max_port: u32,
    /// Most frames of its grant table.
    pub grant_frames: u32,
    /// Frames of mapping handles.
    pub maptrack_frames: u32,
}

/// Makes a domain and puts it into the table.
///
/// # Errors
/// `EEXIST` for a number in use, `ENOMEM`.
pub fn create(params: &Params) -> Result<DomainRef, Errno> {
    let id = table::choose_id(params.id)?;
    let slot = table::take_slot()?;
    make(params, id, slot).inspect_err(|_| table::free_slot(slot))
}

fn make(params: &Params, id: DomId, slot: u16) -> Result<DomainRef, Errno> {
    wake::reserve(slot)?;
    let ports = PortTable::new(id, params.max_port, params.max_vcpus)?;
    let shared_info = special::take(id)?;
    let grant_frame = special::take(id).inspect_err(|_| special::undo(shared_info))?;
    let built = build(params, id, slot, ports, shared_info, grant_frame).and_then(table::insert);
    match built {
        Ok(dom) => match sched::add_domain(&dom) {
            Ok(()) => Ok(dom),
            Err(errno) => {
                table::remove(id);
                special::undo(shared_info);
                special::undo(grant_frame);
                Err(errno)
            }
        },
        Err(errno) => {
            special::undo(shared_info);
            special::undo(grant_frame);
            Err(errno)
        }
    }
}

fn build(
    params: &Params,
    id: DomId,
    slot: u16,
    table: PortTable,
    shared_info: Mfn,
    grant_frame: Mfn,
) -> Result<Domain, Errno> {
    mask_upcalls(shared_info);
    let grants = GrantTable::new(grant_frame, params.grant_frames).map_err(|_| Errno::ENOMEM)?;
    Ok(Domain {
        id,
        slot,
        privileged: params.privileged,
        shared_info,
        vcpus: vcpus(params.max_vcpus, shared_info)?,
        vcpus_created: AtomicBool::new(false),
        mmu: Mutex::new(MmuState::new()),
        pages: Mutex::new(Pages {
            list: PageList::new(),
            tot: 0,
            max: 0,
            special: Vec::from([shared_info, grant_frame]),
        }),
        ports: Mutex::new(Ports { table, pollers: Pollers::new() }),
        grants: Mutex::new(grants),
        maptrack: Mutex::new(Maptrack::new(params.maptrack_frames)),
        control: Mutex::new(control(params.handle)),
        rights: Mutex::new(Rights::none()),
        has_devices: AtomicBool::new(false),
        pause_count: AtomicU32::new(1),
        controller_pauses: AtomicU32::new(1),
        shutdown: AtomicU32::new(NOT_SHUT_DOWN),
        dying: AtomicBool::new(false),
        dead: AtomicBool::new(false),
        vm_assist: AtomicU64::new(0),
        dirty_cpus: AtomicU64::new(0),
        cpu_time_ns: AtomicU64::new(0),
        created: AtomicBool::new(false),
    })
}

fn vcpus(count: u32, shared_info: Mfn) -> Result<Box<[Vcpu]>, Errno> {
    let mut vcpus = Vec::new();
    vcpus.try_reserve_exact(count as usize).map_err(|_| Errno::ENOMEM)?;
    for id in 0..count {
        let info = shared_info.maddr() + u64::from(id) * INFO_BYTES;
        vcpus.push(Vcpu::new(VcpuId::new(id), info));
    }
    Ok(vcpus.into_boxed_slice())
}

/// Events start masked for every vCPU that has its information in the shared page.
pub fn mask_upcalls(shared_info: Mfn) {
    for vcpu in 0..LEGACY_MAX_VCPUS {
        let mask = &directmap::bytes8(shared_info)[vcpu * INFO_BYTES as usize + 1];
        mask.store(1, core::sync::atomic::Ordering::Relaxed);
    }
}

fn control(handle: [u8; 16]) -> Control {
    Control {
        handle,
        memory_map: Vec::new(),
        time_offset_seconds: 0,
        early_code: None,
        suspend_port: None,
        weight: SCHED_DEFAULT_WEIGHT,
        cap: 0,
        teardown: Stage::Begin,
        watchdogs: [0; 2],
    }
}
