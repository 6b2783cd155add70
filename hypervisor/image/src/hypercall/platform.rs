//! `platform_op`: the part of it a control domain needs to keep the machine's time and to look at
//! its CPUs. The rest answers `ENOSYS`, on which guests go without.

use hv_machine::{cpu, percpu};
use hypercall_abi::errno::Errno;
use hypercall_abi::platform::{
    self as cmd, XenPlatformOp, XenpfPcpuVersion, XenpfPcpuinfo, PCPU_FLAGS_ONLINE,
};
use hypercall_abi::xen::XENPF_INTERFACE_VERSION;

use super::{Call, Outcome};
use crate::guestmem;

/// `platform_op(op)`.
pub fn platform_op(call: &mut Call<'_>) -> Outcome {
    let at = call.args[0];
    let mut op: XenPlatformOp = match guestmem::read(at) {
        Ok(op) => op,
        Err(errno) => return errno.into(),
    };
    if op.interface_version != XENPF_INTERFACE_VERSION {
        return Errno::EACCES.into();
    }
    if !call.here.dom().privileged {
        return Errno::EPERM.into();
    }
    let result = match op.cmd {
        cmd::GET_CPUINFO => get_cpuinfo(&mut op),
        cmd::GET_CPU_VERSION => get_cpu_version(&mut op),
        _ => Err(Errno::ENOSYS),
    };
    result.and_then(|()| guestmem::write(at, &op)).into()
}

fn get_cpuinfo(op: &mut XenPlatformOp) -> Result<(), Errno> {
    let mut info: XenpfPcpuinfo = op.payload();
    let cpus = percpu::nr_cpus();
    if info.xen_cpuid >= cpus {
        return Err(Errno::EINVAL);
    }
    info.max_present = cpus - 1;
    info.flags = PCPU_FLAGS_ONLINE;
    info.apic_id = info.xen_cpuid;
    info.acpi_id = info.xen_cpuid;
    op.set_payload(&info);
    Ok(())
}

fn get_cpu_version(op: &mut XenPlatformOp) -> Result<(), Errno> {
    let mut version: XenpfPcpuVersion = op.payload();
    let cpus = percpu::nr_cpus();
    if version.xen_cpuid >= cpus {
        return Err(Errno::EINVAL);
    }
    let [_, b, c, d] = cpu::cpuid(0, 0);
    let [signature, ..] = cpu::cpuid(1, 0);
    for (slot, register) in version.vendor_id.chunks_exact_mut(4).zip([b, d, c]) {
        slot.copy_from_slice(&register.to_le_bytes());
    }
    let base = signature >> 8 & 0xf;
    version.family = if base == 0xf { base + (signature >> 20 & 0xff) } else { base };
    version.model = signature >> 4 & 0xf | (signature >> 16 & 0xf) << 4;
    version.stepping = signature & 0xf;
    version.max_present = cpus - 1;
    op.set_payload(&version);
    Ok(())
}
