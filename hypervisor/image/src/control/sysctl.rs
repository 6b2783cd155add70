//! `sysctl`: questions about the machine and the hypervisor as a whole.

use hv_machine::{cpu, frames, log, percpu, time};
use hypercall_abi::sysctl::{self as abi, cmd};
use hypercall_abi::xen::SYSCTL_INTERFACE_VERSION;
use hypercall_abi::Errno;
use zerocopy::{FromBytes, Immutable, IntoBytes};

use super::affinity::{write_map, SCHED_ID};
use super::{copy_out_or_count, info, policy};
use crate::domain::table;
use crate::hypercall::{ensure, Answer, Call};
use crate::{boot, guestmem, pvtime};

/// Bytes of the console ring copied at a time.
const CHUNK: usize = 256;
/// Bytes per frame, as a shift.
const PAGE_SHIFT: u32 = 12;
/// Distance of a node to itself, in the units of the firmware table.
const LOCAL_DISTANCE: u32 = 10;

/// `sysctl(op)`.
pub fn sysctl(call: &mut Call<'_>) -> Answer {
    let at = call.args[0];
    let mut op: abi::XenSysctl = guestmem::read(at)?;
    ensure(op.interface_version == SYSCTL_INTERFACE_VERSION, Errno::EACCES)?;
    call.privileged()?;
    match op.cmd {
        cmd::READCONSOLE => answer(&mut op, readconsole),
        cmd::PHYSINFO => answer(&mut op, physinfo),
        cmd::SCHED_ID => answer(&mut op, sched_id),
        cmd::GETDOMAININFOLIST => answer(&mut op, getdomaininfolist),
        cmd::DEBUG_KEYS => answer(&mut op, debug_keys),
        cmd::AVAILHEAP => answer(&mut op, availheap),
        cmd::GETCPUINFO => answer(&mut op, getcpuinfo),
        cmd::CPUTOPOINFO => answer(&mut op, cputopoinfo),
        cmd::NUMAINFO => answer(&mut op, numainfo),
        cmd::CPUPOOL_OP => answer(&mut op, cpupool),
        cmd::GET_CPU_LEVELLING_CAPS => answer(&mut op, policy::levelling_caps),
        cmd::GET_CPU_FEATURESET => answer(&mut op, policy::featureset),
        cmd::GET_CPU_POLICY => answer(&mut op, policy::system),
        _ => Err(Errno::ENOSYS),
    }?;
    guestmem::write(at, &op)?;
    Ok(0)
}

/// Hands a command its structure and takes back what became of it.
fn answer<T: FromBytes + IntoBytes + Immutable>(
    op: &mut abi::XenSysctl,
    command: fn(T) -> Result<T, Errno>,
) -> Result<(), Errno> {
    op.set_payload(&command(op.payload())?);
    Ok(())
}

/// Copies what the console ring holds from `index` on; at most its whole length, so one pass.
fn readconsole(mut wanted: abi::ReadConsole) -> Result<abi::ReadConsole, Errno> {
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
    Ok(wanted)
}

fn physinfo(_: abi::PhysInfo) -> Result<abi::PhysInfo, Errno> {
    let cpus = percpu::nr_cpus();
    let [_, _, ecx, edx] = cpu::cpuid(1, 0);
    let [_, _, ext_ecx, ext_edx] = cpu::cpuid(0x8000_0001, 0);
    Ok(abi::PhysInfo {
        threads_per_core: 1,
        cores_per_socket: cpus,
        nr_cpus: cpus,
        max_cpu_id: cpus - 1,
        nr_nodes: 1,
        cpu_khz: time::tsc_scale().khz,
        capabilities: abi::PhysCap::PV | abi::PhysCap::GNTTAB_V1,
        total_pages: frames::total_ram_pages(),
        free_pages: frames::free_count(),
        max_mfn: frames::max_mfn() - 1,
        hw_cap: [edx, ecx, ext_edx, ext_ecx, 0, 0, 0, 0],
        ..Default::default()
    })
}

fn sched_id(_: abi::SchedId) -> Result<abi::SchedId, Errno> {
    Ok(abi::SchedId { sched_id: SCHED_ID })
}

fn getdomaininfolist(mut wanted: abi::GetDomainInfoList) -> Result<abi::GetDomainInfoList, Errno> {
    let limit = (wanted.max_domains as usize).min(table::MAX_DOMAINS);
    let list = table::list_from(wanted.first_domain, limit);
    let infos = list.iter().map(|dom| info::describe(dom));
    wanted.num_domains = guestmem::write_array(wanted.buffer.get(), infos)?;
    Ok(wanted)
}

/// Keys as on the serial line: each prints something about the hypervisor.
fn debug_keys(wanted: abi::DebugKeys) -> Result<abi::DebugKeys, Errno> {
    let mut keys = [0u8; 16];
    let len = (wanted.nr_keys as usize).min(keys.len());
    let keys = keys.get_mut(..len).unwrap_or_default();
    guestmem::read_bytes(wanted.keys.get(), keys)?;
    keys.iter().for_each(|key| boot::debug_key(*key));
    Ok(wanted)
}

fn availheap(asked: abi::AvailHeap) -> Result<abi::AvailHeap, Errno> {
    Ok(abi::AvailHeap { avail_bytes: frames::free_count() << PAGE_SHIFT, ..asked })
}

/// How long each CPU was idle. The time not spent in vCPUs is shared out evenly, because vCPUs move
/// between CPUs.
fn getcpuinfo(mut wanted: abi::GetCpuInfo) -> Result<abi::GetCpuInfo, Errno> {
    let cpus = percpu::nr_cpus();
    let busy: u64 = table::all().iter().map(|dom| pvtime::domain_cpu_ns(dom)).sum();
    let total = time::now_ns() * u64::from(cpus);
    let info = abi::CpuInfo { idletime_ns: total.saturating_sub(busy) / u64::from(cpus) };
    let infos = (0..wanted.max_cpus.min(cpus)).map(|_| info);
    wanted.nr_cpus = guestmem::write_array(wanted.info.get(), infos)?;
    Ok(wanted)
}

/// One socket, a core per CPU.
fn cputopoinfo(mut wanted: abi::CpuTopoInfo) -> Result<abi::CpuTopoInfo, Errno> {
    let cores = (0..percpu::nr_cpus()).map(|core| abi::CpuTopo { core, socket: 0, node: 0 });
    wanted.num_cpus = copy_out_or_count(wanted.cputopo, wanted.num_cpus, cores)?;
    Ok(wanted)
}

/// One node.
fn numainfo(mut wanted: abi::NumaInfo) -> Result<abi::NumaInfo, Errno> {
    if wanted.num_nodes >= 1 && !wanted.meminfo.is_null() {
        let info = abi::MemInfo {
            memsize: frames::total_ram_pages() << PAGE_SHIFT,
            memfree: frames::free_count() << PAGE_SHIFT,
        };
        guestmem::write(wanted.meminfo.get(), &info)?;
    }
    if wanted.num_nodes >= 1 && !wanted.distance.is_null() {
        guestmem::write(wanted.distance.get(), &LOCAL_DISTANCE)?;
    }
    wanted.num_nodes = 1;
    Ok(wanted)
}

/// There is pool 0 with everything in it.
fn cpupool(mut wanted: abi::CpupoolOp) -> Result<abi::CpupoolOp, Errno> {
    ensure(wanted.op == abi::CPUPOOL_OP_INFO, Errno::EOPNOTSUPP)?;
    ensure([0, u32::MAX].contains(&wanted.cpupool_id), Errno::ENOENT)?;
    wanted.cpupool_id = 0;
    wanted.sched_id = SCHED_ID;
    wanted.n_dom = table::all().len() as u32;
    write_map(&wanted.cpumap, percpu::online_mask())?;
    Ok(wanted)
}
