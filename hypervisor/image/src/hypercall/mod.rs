//! Hypercalls: from the registers of a guest kernel to one function per call, and back.
//!
//! [`entry`] is reached from the machine's `SYSCALL` path. A handler gets the argument registers
//! and answers with an [`Outcome`]. Long calls do a bounded amount of work, describe the rest in
//! their own arguments and answer [`Outcome::Again`]: the guest then executes its `SYSCALL` once
//! more, and interrupts and events get their turn in between.

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
pub mod va_mapping;
pub mod vcpu;
pub mod version;

use hv_machine::GuestRegs;
use hypercall_abi::errno::Errno;
use hypercall_abi::nr;

use crate::counters::{self, bump};
use crate::current::LazyHere;
use crate::{control, upcall};

/// What became of a call.
pub enum Outcome {
    /// It is finished with this value for `rax`.
    Done(i64),
    /// It is to be executed again with the arguments as they are now.
    Again,
    /// It replaced the registers.
    Gone,
}

impl From<Result<i64, Errno>> for Outcome {
    #[inline]
    fn from(result: Result<i64, Errno>) -> Self {
        Self::Done(result.unwrap_or_else(Errno::to_ret))
    }
}

impl From<Result<(), Errno>> for Outcome {
    #[inline]
    fn from(result: Result<(), Errno>) -> Self {
        result.map(|()| 0).into()
    }
}

impl From<Errno> for Outcome {
    fn from(errno: Errno) -> Self {
        Self::Done(errno.to_ret())
    }
}

/// One call: its arguments and who makes it.
pub struct Call<'a> {
    /// Arguments as the guest gave them; a continuation changes them.
    pub args: [u64; 5],
    /// The calling vCPU.
    pub here: &'a LazyHere,
    /// Its registers.
    pub regs: &'a mut GuestRegs,
}

/// A hypercall.
pub type Handler = fn(&mut Call<'_>) -> Outcome;

/// Entries of the table of calls.
pub const NR_HYPERCALLS: usize = 64;

static TABLE: [Handler; NR_HYPERCALLS] = table();

const fn table() -> [Handler; NR_HYPERCALLS] {
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
    table[nr::UPDATE_VA_MAPPING as usize] = va_mapping::update_va_mapping;
    table[nr::SET_TIMER_OP as usize] = sched::set_timer_op;
    table[nr::XEN_VERSION as usize] = version::xen_version;
    table[nr::CONSOLE_IO as usize] = console::console_io;
    table[nr::GRANT_TABLE_OP as usize] = grant::grant_table_op;
    table[nr::VM_ASSIST as usize] = callbacks::vm_assist;
    table[nr::UPDATE_VA_MAPPING_OTHERDOMAIN as usize] = va_mapping::otherdomain;
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
}

fn unknown(_: &mut Call<'_>) -> Outcome {
    Outcome::Done(Errno::ENOSYS.to_ret())
}

fn iret(call: &mut Call<'_>) -> Outcome {
    upcall::iret(call.here, call.regs);
    Outcome::Gone
}

/// Carries out the call with this number.
#[inline]
pub fn dispatch(number: u64, call: &mut Call<'_>) -> Outcome {
    match TABLE.get(number as usize) {
        Some(handler) => {
            if let Some(counter) = counters::here().hypercalls.get(number as usize) {
                bump(counter);
            }
            handler(call)
        }
        None => Outcome::Done(Errno::ENOSYS.to_ret()),
    }
}

/// Length of the `SYSCALL` instruction.
const SYSCALL_BYTES: u64 = 2;

/// A guest kernel executed `SYSCALL`.
pub fn entry(regs: &mut GuestRegs) {
    let here = LazyHere::new();
    let number = regs.rax;
    let args = [regs.rdi, regs.rsi, regs.rdx, regs.r10, regs.r8];
    let mut call = Call { args, here: &here, regs };
    match dispatch(number, &mut call) {
        Outcome::Done(value) => regs.rax = value as u64,
        Outcome::Again => {
            let [rdi, rsi, rdx, r10, r8] = call.args;
            (regs.rdi, regs.rsi, regs.rdx, regs.r10, regs.r8) = (rdi, rsi, rdx, r10, r8);
            regs.rip = regs.rip.wrapping_sub(SYSCALL_BYTES);
        }
        Outcome::Gone => {}
    }
}
