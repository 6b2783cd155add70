//! `sysctl`: questions about the machine and the hypervisor as a whole.

use hv_machine::{cpu, frames, log, percpu, time};
use hypercall_abi::errno::Errno;

use hypercall_abi::sysctl::{
    cmd, AvailHeap, DebugKeys, GetDomainInfoList, PhysCap, PhysInfo, ReadConsole, SchedId,
    XenSysctl,
};
use hypercall_abi::xen::SYSCTL_INTERFACE_VERSION;

use super::affinity::SCHED_ID;
use super::{info, policy, topology};
use crate::domain::table;
use crate::hypercall::{Call, Outcome};
use crate::{boot, guestmem};

/// Bytes of the console ring copied at a time.
const CHUNK: usize = 256;
/// Bytes per frame, as a shift.
const PAGE_SHIFT: u32 = 12;

/// `sysctl(op)`.
pub fn sysctl(call: &mut Call<'_>) -> Outcome {
    let at = call.args[0];
    let mut op: XenSysctl = match guestmem::read(at) {
        Ok(op) => op,
        Err(errno) => return errno.into(),
    };
    if op.interface_version != SYSCTL_INTERFACE_VERSION {
        return Errno::EACCES.into();
    }
    if !call.here.dom().privileged {
        return Errno::EPERM.into();
    }
    run(&mut op).and_then(|()| guestmem::write(at, &op)).into()
}

fn run(op: &mut XenSysctl) -> Result<(), Errno> {
    match op.cmd {
        cmd::READCONSOLE => readconsole(op),
        cmd::PHYSINFO => physinfo(op),
        cmd::SCHED_ID => {
            op.set_payload(&SchedId { sched_id: SCHED_ID });
            Ok(())
        }
        cmd::GETDOMAININFOLIST => getdomaininfolist(op),
        cmd::DEBUG_KEYS => debug_keys(op),
        cmd::AVAILHEAP => availheap(op),
        cmd::GETCPUINFO => topology::getcpuinfo(op),
        cmd::CPUTOPOINFO => topology::cputopoinfo(op),
        cmd::NUMAINFO => topology::numainfo(op),
        cmd::CPUPOOL_OP => topology::cpupool(op),
        cmd::GET_CPU_LEVELLING_CAPS => policy::levelling_caps(op),
        cmd::GET_CPU_FEATURESET => policy::featureset(op),
        cmd::GET_CPU_POLICY => policy::system(op),
        _ => Err(Errno::ENOSYS),
    }
}

/// Copies what the console ring holds from `index` on; at most its whole length, so one pass.
fn readconsole(op: &mut XenSysctl) -> Result<(), Errno> {
    let mut wanted: ReadConsole = op.payload();
    let mut index = if wanted.incremental != 0 { u64::from(wanted.index) } else { 0 };
    let mut copied = 0;
    let mut bytes = [0u8; CHUNK];
    while copied < wanted.count {
        let room = (wanted.count - copied).min(CHUNK as u32) as usize;
        let (len, next) = log::ring_read(index, bytes.get_mut(..room).unwrap_or_default());
        if len == 0 {
            break;
        }
        let at = wanted.buffer.get().checked_add(u64::from(copied)).ok_or(Errno::EFAULT)?;
        guestmem::write_bytes(at, bytes.get(..len).unwrap_or_default())?;
        copied += len as u32;
        index = next;
    }
    if wanted.clear != 0 {
        log::ring_clear();
    }
    wanted.index = index as u32;
    wanted.count = copied;
    op.set_payload(&wanted);
    Ok(())
}

fn physinfo(op: &mut XenSysctl) -> Result<(), Errno> {
    let cpus = percpu::nr_cpus();
    let mut info = PhysInfo::default();
    info.threads_per_core = 1;
    info.cores_per_socket = cpus;
    info.nr_cpus = cpus;
    info.max_cpu_id = cpus - 1;
    info.nr_nodes = 1;
    info.cpu_khz = time::tsc_scale().khz as u32;
    info.capabilities = PhysCap::PV | PhysCap::GNTTAB_V1;
    info.total_pages = frames::total_ram_pages();
    info.free_pages = frames::free_count();
    info.max_mfn = frames::max_mfn() - 1;
    let [_, _, ecx, edx] = cpu::cpuid(1, 0);
    let [_, _, ext_ecx, ext_edx] = cpu::cpuid(0x8000_0001, 0);
    info.hw_cap = [edx, ecx, ext_edx, ext_ecx, 0, 0, 0, 0];
    op.set_payload(&info);
    Ok(())
}

fn getdomaininfolist(op: &mut XenSysctl) -> Result<(), Errno> {
    let mut wanted: GetDomainInfoList = op.payload();
    let limit = (wanted.max_domains as usize).min(table::MAX_DOMAINS);
    let list = table::list_from(wanted.first_domain, limit);
    for (index, dom) in list.iter().enumerate() {
        guestmem::write_at(wanted.buffer.get(), index as u64, &info::describe(dom))?;
    }
    wanted.num_domains = list.len() as u32;
    op.set_payload(&wanted);
    Ok(())
}

/// Keys as on the serial line: each prints something about the hypervisor.
fn debug_keys(op: &XenSysctl) -> Result<(), Errno> {
    let wanted: DebugKeys = op.payload();
    let mut keys = [0u8; 16];
    let len = (wanted.nr_keys as usize).min(keys.len());
    let keys = keys.get_mut(..len).unwrap_or_default();
    guestmem::read_bytes(wanted.keys.get(), keys)?;
    keys.iter().for_each(|key| boot::debug_key(*key));
    Ok(())
}

fn availheap(op: &mut XenSysctl) -> Result<(), Errno> {
    let mut wanted: AvailHeap = op.payload();
    wanted.avail_bytes = frames::free_count() << PAGE_SHIFT;
    op.set_payload(&wanted);
    Ok(())
}

