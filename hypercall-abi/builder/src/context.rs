//! The context of the first vCPU.
//!
//! Called by the builder right before the domain may run. Only what the interface promises is set:
//! no trap table, no descriptor tables, no callbacks, no FPU state.
//!
//! Invariant: the context enters the kernel of the plan it was made from, in kernel mode.

use crate::layout::Plan;
use hypercall_abi::addr::Mfn;
use hypercall_abi::regs::{mfn_to_cr3, VcpuGuestContext, Vgcf, FLAT_KERNEL_CS, FLAT_KERNEL_SS};

/// The interrupt flag, which a guest kernel always sees set.
const RFLAGS_IF: u64 = 1 << 9;

impl Plan {
    /// The context to set for vCPU 0; `root` is the machine frame of [`Plan::tables`]' first page.
    #[must_use]
    pub fn vcpu_context(&self, root: Mfn) -> VcpuGuestContext {
        // Five kilobytes, made in one place: a hypervisor's stack is small.
        let mut context = VcpuGuestContext::default();
        context.user_regs.rip = self.entry.rip;
        context.user_regs.rsi = self.entry.start_info;
        context.user_regs.rsp = self.entry.rsp;
        context.user_regs.cs = FLAT_KERNEL_CS;
        context.user_regs.ss = FLAT_KERNEL_SS;
        context.user_regs.rflags = RFLAGS_IF;
        context.flags = Vgcf::IN_KERNEL | Vgcf::ONLINE;
        context.kernel_ss = u64::from(FLAT_KERNEL_SS);
        context.kernel_sp = self.entry.rsp;
        if let Some(cr3) = context.ctrlreg.get_mut(3) {
            *cr3 = mfn_to_cr3(root);
        }
        context
    }
}
