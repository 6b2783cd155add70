//! `sysctl` commands about CPUs: idle time, topology, NUMA, pools.

use hv_machine::{frames, percpu, time};
use hypercall_abi::errno::Errno;
use hypercall_abi::sysctl::{
    CpuInfo, CpuTopo, CpuTopoInfo, CpupoolOp, GetCpuInfo, MemInfo, NumaInfo, XenSysctl,
    CPUPOOL_OP_INFO,
};

use super::affinity::{write_map, SCHED_ID};
use crate::domain::table;
use crate::{guestmem, pvtime};

/// `getcpuinfo`: how long each CPU was idle. The time not spent in vCPUs is shared out evenly,
/// because vCPUs move between CPUs.
pub fn getcpuinfo(op: &mut XenSysctl) -> Result<(), Errno> {
    let mut wanted: GetCpuInfo = op.payload();
    let cpus = percpu::nr_cpus();
    let all = table::list_from(hypercall_abi::ids::DomId::DOM0, table::MAX_DOMAINS);
    let busy: u64 = all.iter().map(|dom| pvtime::domain_cpu_ns(dom)).sum();
    let idle = (time::now_ns() * u64::from(cpus)).saturating_sub(busy) / u64::from(cpus);
    let count = wanted.max_cpus.min(cpus);
    for index in 0..count {
        let info = CpuInfo { idletime_ns: idle };
        guestmem::write_at(wanted.info.get(), u64::from(index), &info)?;
    }
    wanted.nr_cpus = count;
    op.set_payload(&wanted);
    Ok(())
}

/// `cputopoinfo`: one socket, a core per CPU.
pub fn cputopoinfo(op: &mut XenSysctl) -> Result<(), Errno> {
    let mut wanted: CpuTopoInfo = op.payload();
    let cpus = percpu::nr_cpus();
    if wanted.cputopo.is_null() {
        wanted.num_cpus = cpus;
    } else {
        let count = wanted.num_cpus.min(cpus);
        for core in 0..count {
            let entry = CpuTopo { core, socket: 0, node: 0 };
            guestmem::write_at(wanted.cputopo.get(), u64::from(core), &entry)?;
        }
        wanted.num_cpus = count;
    }
    op.set_payload(&wanted);
    Ok(())
}

/// Distance of a node to itself, in the units of the firmware table.
const LOCAL_DISTANCE: u32 = 10;

/// `numainfo`: one node.
pub fn numainfo(op: &mut XenSysctl) -> Result<(), Errno> {
    let mut wanted: NumaInfo = op.payload();
    if wanted.num_nodes >= 1 {
        if !wanted.meminfo.is_null() {
            let bytes = |pages: u64| pages << 12;
            let info = MemInfo {
                memsize: bytes(frames::total_ram_pages()),
                memfree: bytes(frames::free_count()),
            };
            guestmem::write(wanted.meminfo.get(), &info)?;
        }
        if !wanted.distance.is_null() {
            guestmem::write(wanted.distance.get(), &LOCAL_DISTANCE)?;
        }
    }
    wanted.num_nodes = 1;
    op.set_payload(&wanted);
    Ok(())
}

/// `cpupool_op`: there is pool 0 with everything in it.
pub fn cpupool(op: &mut XenSysctl) -> Result<(), Errno> {
    let mut wanted: CpupoolOp = op.payload();
    if wanted.op != CPUPOOL_OP_INFO {
        return Err(Errno::EOPNOTSUPP);
    }
    if wanted.cpupool_id != 0 && wanted.cpupool_id != u32::MAX {
        return Err(Errno::ENOENT);
    }
    wanted.cpupool_id = 0;
    wanted.sched_id = SCHED_ID;
    let all = table::list_from(hypercall_abi::ids::DomId::DOM0, table::MAX_DOMAINS);
    wanted.n_dom = all.len() as u32;
    write_map(&wanted.cpumap, percpu::online_mask())?;
    op.set_payload(&wanted);
    Ok(())
}
