//! `vcpu_op`, as far as one vCPU can see.

use crate::harness::{hypercall, Report};
use hypercall_abi::regs::VcpuGuestContext;
use hypercall_abi::vcpu::{self as abi, VcpuRegisterVcpuInfo};
use hypercall_abi::{nr, Errno, Mfn, VcpuId};
use pvkernel_xen::hypercall::vcpu::{self, vcpu_op};

const VCPU0: VcpuId = VcpuId::new(0);

/// Runs the topic.
pub fn run(t: &mut Report) {
    let unknown = VcpuId::new(9999);
    t.eq("is-up", Ok(true), vcpu::is_up(VCPU0));
    t.eq("is-up-unknown", Err(Errno::ENOENT), vcpu::is_up(unknown));
    t.eq("up-unknown", Err(Errno::ENOENT), vcpu::without_argument(abi::UP, unknown));
    t.eq("up-when-up", Ok(0), vcpu::without_argument(abi::UP, VCPU0));
    let large = hypercall(nr::VCPU_OP, &[99, 9999, 0]);
    t.errno("unknown-command-unknown-vcpu", Errno::ENOENT, large);
    t.errno("unknown-command", Errno::ENOSYS, hypercall(nr::VCPU_OP, &[99, 0, 0]));
    let mut context = alloc::boxed::Box::new(VcpuGuestContext::default());
    // SAFETY: the vCPU is up, so its state is not replaced.
    let again = unsafe { vcpu_op(abi::INITIALISE, VCPU0, &mut *context) };
    t.errno("initialise-again", Errno::EEXIST, again);
    let mut id = abi::VcpuGetPhysid::default();
    // SAFETY: only the structure is written.
    let physid = unsafe { vcpu_op(abi::GET_PHYSID, VCPU0, &mut id) };
    // The control domain on a machine with one CPU counts as pinned to it.
    if !t.is_dom0 {
        t.errno("physid-not-pinned", Errno::EINVAL, physid);
    }
    let send_nmi = hypercall(nr::VCPU_OP, &[abi::SEND_NMI.into(), 0, 8]);
    t.errno("send-nmi-with-argument", Errno::EINVAL, send_nmi);
    vcpu_info(t);
}

/// Only refusals: a second place for the vCPU's event words would move them for good.
fn vcpu_info(t: &mut Report) {
    let register = |mfn: u64, offset: u32| {
        let mut arg = VcpuRegisterVcpuInfo { mfn: Mfn::new(mfn), offset, rsvd: 0 };
        // SAFETY: all calls must be refused.
        unsafe { vcpu_op(abi::REGISTER_VCPU_INFO, VCPU0, &mut arg) }
    };
    t.errno("info-crosses-page", Errno::ENXIO, register(0, 4096 - 56));
    t.errno("info-unaligned", Errno::ENXIO, register(0, 4));
    t.errno("info-not-our-frame", Errno::EINVAL, register(0, 0));
    t.errno("info-no-frame", Errno::EINVAL, register(1 << 40, 0));
}
