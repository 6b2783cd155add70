//! `platform_op`: the part of it a control domain needs to keep the machine's time and to look at
//! its CPUs. The rest answers `ENOSYS`, on which guests go without.

use hv_machine::{cpu, percpu};
use hypercall_abi::platform as abi;
use hypercall_abi::xen::XENPF_INTERFACE_VERSION;
use hypercall_abi::Errno;

use super::{ensure, Answer, Call};
use crate::guestmem;

/// `platform_op(op)`.
pub fn platform_op(call: &mut Call<'_>) -> Answer {
    guestmem::update(call.args[0], |op: &mut abi::XenPlatformOp| {
        ensure(op.interface_version == XENPF_INTERFACE_VERSION, Errno::EACCES)?;
        call.privileged()?;
        match op.cmd {
            abi::GET_CPUINFO => op.set_payload(&cpuinfo(op.payload())?),
            abi::GET_CPU_VERSION => op.set_payload(&cpu_version(op.payload())?),
            _ => return Err(Errno::ENOSYS),
        }
        Ok(())
    })?;
    Ok(0)
}

fn cpuinfo(mut info: abi::XenpfPcpuinfo) -> Result<abi::XenpfPcpuinfo, Errno> {
    let cpus = percpu::nr_cpus();
    ensure(info.xen_cpuid < cpus, Errno::EINVAL)?;
    info.max_present = cpus - 1;
    info.flags = abi::PCPU_FLAGS_ONLINE;
    info.apic_id = info.xen_cpuid;
    info.acpi_id = info.xen_cpuid;
    Ok(info)
}

fn cpu_version(mut version: abi::XenpfPcpuVersion) -> Result<abi::XenpfPcpuVersion, Errno> {
    let cpus = percpu::nr_cpus();
    ensure(version.xen_cpuid < cpus, Errno::EINVAL)?;
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
    Ok(version)
}
