//! Hypercalls: from the registers of a guest kernel to one function per call, and back.
//!
//! [`entry`] is reached from the machine's `SYSCALL` path. A handler gets the argument registers
//! and gives an [`Answer`]. Long calls do a bounded amount of work, describe the rest in their own
//! arguments and end with [`End::AGAIN`]: the guest then executes its `SYSCALL` once more, and
//! interrupts and events get their turn in between.

pub mod callbacks;
pub mod console;
pub mod debug;
pub mod descriptors;
pub mod evtchn;
pub mod exchange;
pub mod grant;
pub mod grant_copy;
pub mod grant_map;
pub mod memory;
pub mod mmu;
pub mod mmuext;
pub mod multicall;
pub mod physdev;
pub mod platform;
pub mod sched;
pub mod vcpu;
pub mod version;

pub use hv_core::ensure;
use hv_core::page::Stop;
use hv_machine::GuestRegs;
use hypercall_abi::{nr, Errno};

use crate::counters::bump;
use crate::current::{self, Current, Here};
use crate::{control, upcall};

/// How a call ends that does not answer with a value: by an error, or as the constants say. It is
/// one number, because an [`Answer`] then fits into two registers.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct End(i64);

impl End {
    /// It is to be executed again with the arguments as they are now.
    pub const AGAIN: Self = Self(i64::MIN);
    /// It replaced the registers.
    pub const GONE: Self = Self(i64::MIN + 1);
}

/// What became of a call: the value for `rax`, or another end.
pub type Answer = Result<i64, End>;

impl From<Errno> for End {
    fn from(errno: Errno) -> Self {
        Self(errno.to_ret())
    }
}

impl From<Stop> for End {
    fn from(stop: Stop) -> Self {
        match stop {
            Stop::Preempted => Self::AGAIN,
            Stop::Refused(error) => Errno::from(error).into(),
        }
    }
}

/// One call: its arguments and who makes it.
pub struct Call<'a> {
    /// Arguments as the guest gave them; a continuation changes them.
    pub args: [u64; 5],
    /// The calling vCPU.
    pub here: &'a Here,
    /// Its registers.
    pub regs: &'a mut GuestRegs,
}

impl Call<'_> {
    /// Insists on a control domain as the caller.
    ///
    /// # Errors
    /// `EPERM`.
    pub fn privileged(&self) -> Result<(), Errno> {
        ensure(self.here.dom().privileged, Errno::EPERM)
    }
}

/// A hypercall.
pub type Handler = fn(&mut Call<'_>) -> Answer;

/// Entries of the table of calls.
pub const NR_HYPERCALLS: usize = 64;

static TABLE: [Handler; NR_HYPERCALLS] = {
    let mut table: [Handler; NR_HYPERCALLS] = [unknown; NR_HYPERCALLS];
    table[nr::SET_TRAP_TABLE as usize] = callbacks::set_trap_table;
    table[nr::MMU_UPDATE as usize] = mmu::mmu_update;
    table[nr::SET_GDT as usize] = descriptors::set_gdt;
    table[nr::STACK_SWITCH as usize] = callbacks::stack_switch;
    table[nr::SET_CALLBACKS as usize] = callbacks::set_callbacks;
    table[nr::FPU_TASKSWITCH as usize] = debug::fpu_taskswitch;
    table[nr::PLATFORM_OP as usize] = platform::platform_op;
    table[nr::SET_DEBUGREG as usize] = debug::set_debugreg;
    table[nr::GET_DEBUGREG as usize] = debug::get_debugreg;
    table[nr::UPDATE_DESCRIPTOR as usize] = descriptors::update_descriptor;
    table[nr::MEMORY_OP as usize] = memory::memory_op;
    table[nr::MULTICALL as usize] = multicall::multicall;
    table[nr::UPDATE_VA_MAPPING as usize] = mmu::update_va_mapping;
    table[nr::SET_TIMER_OP as usize] = sched::set_timer_op;
    table[nr::XEN_VERSION as usize] = version::xen_version;
    table[nr::CONSOLE_IO as usize] = console::console_io;
    table[nr::GRANT_TABLE_OP as usize] = grant::grant_table_op;
    table[nr::VM_ASSIST as usize] = callbacks::vm_assist;
    table[nr::UPDATE_VA_MAPPING_OTHERDOMAIN as usize] = mmu::update_va_mapping_otherdomain;
    table[nr::IRET as usize] = iret;
    table[nr::VCPU_OP as usize] = vcpu::vcpu_op;
    table[nr::SET_SEGMENT_BASE as usize] = descriptors::set_segment_base;
    table[nr::MMUEXT_OP as usize] = mmuext::mmuext_op;
    table[nr::NMI_OP as usize] = callbacks::nmi_op;
    table[nr::SCHED_OP as usize] = sched::sched_op;
    table[nr::CALLBACK_OP as usize] = callbacks::callback_op;
    table[nr::EVENT_CHANNEL_OP as usize] = evtchn::event_channel_op;
    table[nr::PHYSDEV_OP as usize] = physdev::physdev_op;
    table[nr::SYSCTL as usize] = control::sysctl::sysctl;
    table[nr::DOMCTL as usize] = control::domctl::domctl;
    table
};

#[cold]
fn unknown(_: &mut Call<'_>) -> Answer {
    Err(Errno::ENOSYS.into())
}

/// `iret` as an entry of a list of calls; a call of its own does not come this way.
fn iret(call: &mut Call<'_>) -> Answer {
    upcall::iret(call.here, call.regs);
    Err(End::GONE)
}

/// Carries out the call with this number.
///
/// # Errors
/// What its handler says; `ENOSYS` for a number without one.
#[inline]
pub fn dispatch(number: u64, call: &mut Call<'_>) -> Answer {
    let Some(handler) = TABLE.get(number as usize) else { return unknown(call) };
    if let Some(counter) = call.here.counters().hypercalls.get(number as usize) {
        bump(counter);
    }
    handler(call)
}

/// A guest kernel executed `SYSCALL` with the number of `iret`.
pub extern "C" fn iret_entry(regs: &mut GuestRegs, current: &Current) {
    let here = current::here(current);
    bump(&here.counters().hypercalls[nr::IRET as usize]);
    upcall::iret(here, regs);
}

/// Length of the `SYSCALL` instruction.
const SYSCALL_BYTES: u64 = 2;

/// A guest kernel executed `SYSCALL`.
pub extern "C" fn entry(regs: &mut GuestRegs, current: &Current) {
    let here = current::here(current);
    let number = regs.rax;
    let args = [regs.rdi, regs.rsi, regs.rdx, regs.r10, regs.r8];
    let mut call = Call { args, here, regs };
    match dispatch(number, &mut call) {
        Err(End::AGAIN) => {
            let [rdi, rsi, rdx, r10, r8] = call.args;
            (regs.rdi, regs.rsi, regs.rdx, regs.r10, regs.r8) = (rdi, rsi, rdx, r10, r8);
            regs.rip = regs.rip.wrapping_sub(SYSCALL_BYTES);
        }
        Err(End::GONE) => {}
        Ok(value) | Err(End(value)) => regs.rax = value as u64,
    }
}
