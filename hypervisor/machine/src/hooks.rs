//! What the machine calls in the image: one table of functions, filled by `entry_points!`.
//!
//! The assembly of `entry/` and the boot code jump through `HV_HOOKS`, which the binary defines
//! once. All functions are safe; the machine guarantees what their signatures promise.

use crate::boot::BootInfo;
use crate::percpu::CpuId;
use crate::regs::GuestRegs;

/// Which fast system-call instruction was used where it does not mean a hypercall.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum SyscallKind {
    /// `syscall` in 64-bit code of guest user mode.
    Syscall64 = 0,
    /// `syscall` in 32-bit code.
    Syscall32 = 1,
    /// `sysenter`: instruction and stack pointer of the caller are not known.
    Sysenter = 2,
}

/// The functions of the image, in the order the assembly expects.
#[repr(C)]
pub struct Hooks {
    /// `syscall` in guest-kernel mode. Changes of rbx, rbp and r12 to r15 in the frame have no effect
    /// unless something is left to do in `exit_work`.
    pub hypercall: extern "C" fn(&mut GuestRegs),
    /// Any other fast system call.
    pub syscall: extern "C" fn(&mut GuestRegs, SyscallKind),
    /// Exception of ring 3, or `int 0x80`.
    pub exception: extern "C" fn(&mut GuestRegs, u8),
    /// The return to the guest faulted.
    pub iret_fault: extern "C" fn(&mut GuestRegs, u8),
    /// Something is to be done before the guest continues.
    pub exit_work: extern "C" fn(&mut GuestRegs),
    /// External interrupt.
    pub interrupt: extern "C" fn(u8),
    /// Boot processor, machine ready.
    pub boot: extern "C" fn(&'static BootInfo),
    /// Any other processor, after `boot` has returned.
    pub ap_boot: extern "C" fn(CpuId),
    /// Further lines for the report of a panic.
    pub epitaph: extern "C" fn(),
}

/// Defines the entry points of the hypervisor; to be used once, in the binary.
#[macro_export]
macro_rules! entry_points {
    (
        boot: $boot:path,
        ap_boot: $ap_boot:path,
        hypercall: $hypercall:path,
        syscall: $syscall:path,
        exception: $exception:path,
        iret_fault: $iret_fault:path,
        interrupt: $interrupt:path,
        exit_work: $exit_work:path,
        epitaph: $epitaph:path $(,)?
    ) => {
        mod hv_entry_points {
            use $crate::{BootInfo, CpuId, GuestRegs, Hooks, SyscallKind};

            extern "C" fn hypercall(regs: &mut GuestRegs) {
                $hypercall(regs);
            }
            extern "C" fn syscall(regs: &mut GuestRegs, kind: SyscallKind) {
                $syscall(regs, kind);
            }
            extern "C" fn exception(regs: &mut GuestRegs, vector: u8) {
                $exception(regs, vector);
            }
            extern "C" fn iret_fault(regs: &mut GuestRegs, vector: u8) {
                $iret_fault(regs, vector);
            }
            extern "C" fn exit_work(regs: &mut GuestRegs) {
                $exit_work(regs);
            }
            extern "C" fn interrupt(vector: u8) {
                $interrupt(vector);
            }
            extern "C" fn boot(info: &'static BootInfo) {
                $boot(info);
            }
            extern "C" fn ap_boot(cpu: CpuId) {
                $ap_boot(cpu);
            }
            extern "C" fn epitaph() {
                $epitaph();
            }

            /// Called by the machine.
            #[used]
            #[no_mangle]
            pub static HV_HOOKS: Hooks = Hooks {
                hypercall,
                syscall,
                exception,
                iret_fault,
                exit_work,
                interrupt,
                boot,
                ap_boot,
                epitaph,
            };
        }
    };
}

extern "C" {
    #[link_name = "HV_HOOKS"]
    static HOOKS: Hooks;
}

/// The table of the binary.
#[inline]
pub(crate) fn hooks() -> &'static Hooks {
    // SAFETY: the link fails unless `entry_points!` has defined the symbol, with this very type.
    unsafe { &HOOKS }
}
