//! Commands about scheduling: affinity, weight, NUMA node.

use core::iter;
use hv_machine::percpu;
use hypercall_abi::domctl as abi;
use hypercall_abi::xen::XenctlBitmap;
use hypercall_abi::Errno;

use crate::domain::Domain;
use crate::hypercall::ensure;
use crate::{guestmem, sched};

/// The scheduler the public interface is told about: the one `xl` expects by default.
pub const SCHED_ID: u32 = abi::SCHEDULER_CREDIT2;
/// Longest bitmap of CPUs that is written.
const MAX_MAP_BYTES: usize = 1024;

/// Reads a bitmap of CPUs; bits beyond its length are clear.
fn read_map(map: &XenctlBitmap) -> Result<u64, Errno> {
    let bits = guestmem::read_number(map.bitmap.get(), (map.nr_bits as usize).div_ceil(8))?;
    Ok(bits & 1u64.checked_shl(map.nr_bits).map_or(u64::MAX, |end| end - 1))
}

/// Stores a bitmap into as many bytes as the caller has; the rest of a longer one is cleared.
pub fn write_map(map: &XenctlBitmap, value: u64) -> Result<(), Errno> {
    let bytes = (map.nr_bits as usize).div_ceil(8).min(MAX_MAP_BYTES);
    let padded = value.to_le_bytes().into_iter().chain(iter::repeat(0));
    guestmem::write_array(map.bitmap.get(), padded.take(bytes)).map(|_| ())
}

/// `setvcpuaffinity`.
pub fn set(dom: &Domain, wanted: abi::VcpuAffinity) -> Result<(), Errno> {
    let vcpu = dom.vcpu(wanted.vcpu).ok_or(Errno::EINVAL)?;
    ensure(wanted.flags & (abi::AFFINITY_HARD | abi::AFFINITY_SOFT) != 0, Errno::EINVAL)?;
    if wanted.flags & abi::AFFINITY_HARD != 0 {
        let cpus = read_map(&wanted.cpumap_hard)? & percpu::online_mask();
        ensure(cpus != 0, Errno::EINVAL)?;
        sched::set_affinity(vcpu, cpus)?;
        write_map(&wanted.cpumap_hard, cpus)?;
    }
    if wanted.flags & abi::AFFINITY_SOFT != 0 {
        // A wish, not a rule; round robin has no use for it.
        write_map(&wanted.cpumap_soft, percpu::online_mask())?;
    }
    Ok(())
}

/// `getvcpuaffinity`.
pub fn get(dom: &Domain, wanted: abi::VcpuAffinity) -> Result<(), Errno> {
    let vcpu = dom.vcpu(wanted.vcpu).ok_or(Errno::EINVAL)?;
    if wanted.flags & abi::AFFINITY_HARD != 0 {
        write_map(&wanted.cpumap_hard, sched::affinity(vcpu))?;
    }
    if wanted.flags & abi::AFFINITY_SOFT != 0 {
        write_map(&wanted.cpumap_soft, u64::MAX)?;
    }
    Ok(())
}

/// `scheduler_op`: keeps weight and cap for those who set them; round robin gives equal shares.
pub fn scheduler_op(dom: &Domain, mut wanted: abi::SchedulerOp) -> Result<abi::SchedulerOp, Errno> {
    ensure(wanted.sched_id == SCHED_ID, Errno::EINVAL)?;
    let mut control = dom.control.lock();
    match wanted.cmd {
        abi::SCHEDOP_PUTINFO => {
            control.weight = if wanted.weight != 0 { wanted.weight } else { control.weight };
            control.cap = wanted.cap;
        }
        abi::SCHEDOP_GETINFO => (wanted.weight, wanted.cap) = (control.weight, control.cap),
        _ => return Err(Errno::EINVAL),
    }
    Ok(wanted)
}
