//! What the machine calls in the image: one table of functions, filled by `entry_points!`.
//!
//! The assembly of `entry/` and the boot code jump through `HV_HOOKS`, which the binary defines
//! once. All functions are safe; the machine guarantees what their signatures promise.

use super::regs::GuestRegs;
use crate::boot::BootInfo;

/// Which fast system-call instruction was used, of those that are rare.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum SyscallKind {
    /// `syscall` in 32-bit code.
    Syscall32 = 0,
    /// `sysenter`: instruction and stack pointer of the caller are not known.
    Sysenter = 1,
}

/// The functions of the image. `C` is what it keeps for each CPU about the vCPU that runs there; the
/// machine only keeps its address, and hands it out: for changes to `exit_work`, which runs while no
/// other hook does, and for reading to those that a guest has entered.
#[repr(C)]
pub struct Hooks<C: 'static> {
    /// `syscall` in guest-kernel mode. Changes of rbx, rbp and r12 to r15 in the frame have no effect
    /// unless something is left to do in `exit_work`.
    pub hypercall: extern "C" fn(&mut GuestRegs, &C),
    /// The same with the number of `iret`, which has no arguments and no answer.
    pub iret: extern "C" fn(&mut GuestRegs, &C),
    /// `syscall` in 64-bit code of guest user mode; likewise.
    pub syscall: extern "C" fn(&mut GuestRegs, &C),
    /// Any other fast system call.
    pub rare_syscall: extern "C" fn(&mut GuestRegs, &C, SyscallKind),
    /// Page fault of ring 3. rbx, rbp and r12 to r15 are not in the frame. Returns whether that was
    /// enough to deal with it.
    pub page_fault: extern "C" fn(&mut GuestRegs, &C) -> bool,
    /// Any other exception of ring 3 but a protection fault, or `int 0x80`; likewise.
    pub exception: extern "C" fn(&mut GuestRegs, &C, u8) -> bool,
    /// A protection fault, or what the two above have left, with all registers.
    pub examine: extern "C" fn(&mut GuestRegs, &C, u8),
    /// The return to the guest faulted.
    pub iret_fault: extern "C" fn(&mut GuestRegs, &C, u8),
    /// On the way out of the first three, and nothing else to do: an event waits that the guest wants
    /// to be told of. Changes of the same registers have no effect. It asks for work, or leaves a frame
    /// for `sysret`.
    pub event: extern "C" fn(&mut GuestRegs, &C),
    /// Something is to be done before the guest continues.
    pub exit_work: extern "C" fn(&mut GuestRegs, &mut C),
    /// Makes the `C` of a CPU that is about to call `exit_work` for the first time; for the others
    /// after `boot` has returned.
    pub current: extern "C" fn() -> &'static mut C,
    /// External interrupt.
    pub interrupt: extern "C" fn(u8),
    /// Boot processor, machine ready.
    pub boot: extern "C" fn(&'static BootInfo),
}

/// Defines the entry points of the hypervisor, one for each field of [`Hooks`], after the type they
/// share; to be used once, in the binary.
#[macro_export]
macro_rules! entry_points {
    ($current:ty; $($hook:ident: $function:path),+ $(,)?) => {
        /// Called by the machine.
        #[allow(unsafe_code)] // The symbol's name is the contract with the assembly.
        #[used]
        #[no_mangle]
        static HV_HOOKS: $crate::Hooks<$current> = $crate::Hooks { $($hook: $function),+ };
    };
}

/// Stands for the image's type, which the machine does not know.
#[repr(C)]
pub(crate) struct Opaque([u8; 0]);

extern "C" {
    #[link_name = "HV_HOOKS"]
    static HOOKS: Hooks<Opaque>;
}

/// The table of the binary.
pub(crate) fn hooks() -> &'static Hooks<Opaque> {
    // SAFETY: the link fails unless `entry_points!` has defined the symbol, with this type but for
    // `C`. That is only ever behind a reference, and no reference gets to another table's function.
    unsafe { &HOOKS }
}
