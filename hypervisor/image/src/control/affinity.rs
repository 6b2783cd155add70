//! Commands about scheduling: affinity, weight, NUMA node.

use hv_machine::percpu;
use hypercall_abi::domctl::{
    NodeAffinity, SchedulerOp, VcpuAffinity, XenDomctl, AFFINITY_HARD, AFFINITY_SOFT,
    SCHEDOP_GETINFO, SCHEDOP_PUTINFO, SCHEDULER_CREDIT2,
};
use hypercall_abi::errno::Errno;
use hypercall_abi::xen::XenctlBitmap;

use super::domctl::{CmdResult, Reply};
use crate::domain::DomainRef;
use crate::{guestmem, sched};

/// The scheduler the public interface is told about: the one `xl` expects by default.
pub const SCHED_ID: u32 = SCHEDULER_CREDIT2;

/// Reads a bitmap of CPUs; bits beyond its length are clear.
fn read_map(map: &XenctlBitmap) -> Result<u64, Errno> {
    let bytes = (map.nr_bits as usize).div_ceil(8).min(8);
    let mut raw = [0u8; 8];
    guestmem::read_bytes(map.bitmap.get(), raw.get_mut(..bytes).unwrap_or_default())?;
    let bits = map.nr_bits.min(64);
    let mask = if bits == 64 { u64::MAX } else { (1 << bits) - 1 };
    Ok(u64::from_le_bytes(raw) & mask)
}

/// Stores a bitmap into as many bytes as the caller has; the rest of a longer one is cleared.
pub fn write_map(map: &XenctlBitmap, value: u64) -> Result<(), Errno> {
    let bytes = (map.nr_bits as u64).div_ceil(8);
    let raw = value.to_le_bytes();
    for index in 0..bytes.min(MAX_MAP_BYTES) {
        let byte = raw.get(index as usize).copied().unwrap_or(0);
        guestmem::write_at(map.bitmap.get(), index, &byte)?;
    }
    Ok(())
}

/// Longest bitmap of CPUs that is written.
const MAX_MAP_BYTES: u64 = 1024;

fn online() -> u64 {
    percpu::online_mask()
}

/// `setvcpuaffinity`.
pub fn set(dom: &DomainRef, op: &mut XenDomctl) -> CmdResult {
    let wanted: VcpuAffinity = op.payload();
    let vcpu = dom.vcpu(wanted.vcpu).ok_or(Errno::EINVAL)?;
    if wanted.flags & (AFFINITY_HARD | AFFINITY_SOFT) == 0 {
        return Err(Errno::EINVAL);
    }
    if wanted.flags & AFFINITY_HARD != 0 {
        let cpus = read_map(&wanted.cpumap_hard)? & online();
        if cpus == 0 {
            return Err(Errno::EINVAL);
        }
        sched::set_affinity(vcpu, cpus)?;
        write_map(&wanted.cpumap_hard, cpus)?;
    }
    if wanted.flags & AFFINITY_SOFT != 0 {
        // A wish, not a rule; round robin has no use for it.
        write_map(&wanted.cpumap_soft, online())?;
    }
    Ok(Reply::Plain)
}

/// `getvcpuaffinity`.
pub fn get(dom: &DomainRef, op: &mut XenDomctl) -> CmdResult {
    let wanted: VcpuAffinity = op.payload();
    let vcpu = dom.vcpu(wanted.vcpu).ok_or(Errno::EINVAL)?;
    if wanted.flags & AFFINITY_HARD != 0 {
        write_map(&wanted.cpumap_hard, sched::affinity(vcpu))?;
    }
    if wanted.flags & AFFINITY_SOFT != 0 {
        write_map(&wanted.cpumap_soft, u64::MAX)?;
    }
    Ok(Reply::Plain)
}

/// `getnodeaffinity`: there is one node.
pub fn node(op: &mut XenDomctl) -> CmdResult {
    write_map(&op.payload::<NodeAffinity>().nodemap, 1)?;
    Ok(Reply::Plain)
}

/// `scheduler_op`: keeps weight and cap for those who set them; round robin gives equal shares.
pub fn scheduler_op(dom: &DomainRef, op: &mut XenDomctl) -> CmdResult {
    let mut wanted: SchedulerOp = op.payload();
    if wanted.sched_id != SCHED_ID {
        return Err(Errno::EINVAL);
    }
    let mut control = dom.control.lock();
    match wanted.cmd {
        SCHEDOP_PUTINFO => {
            if wanted.weight != 0 {
                control.weight = wanted.weight;
            }
            control.cap = wanted.cap;
            Ok(Reply::Plain)
        }
        SCHEDOP_GETINFO => {
            wanted.weight = control.weight;
            wanted.cap = control.cap;
            drop(control);
            op.set_payload(&wanted);
            Ok(Reply::CopyBack)
        }
        _ => Err(Errno::EINVAL),
    }
}
