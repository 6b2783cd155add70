//! The thread of a process: from its first instruction to its end.

use alloc::sync::Arc;

use pvkernel_abi::{STATUS_FAULT, STATUS_KILLED};

use super::process::Name;
use super::Process;
use crate::os::SLICE_NS;
use crate::platform::{UserExit, UserRegs};
use crate::println;
use crate::syscall::{self, Flow};
use crate::vm::{Denied, Want};

/// Vector of a page fault.
const PAGE_FAULT: i32 = 14;

/// Runs a process until it ends.
pub(super) fn live(process: &Arc<Process>, mut regs: UserRegs) {
    let status = loop {
        if process.is_killed() {
            break STATUS_KILLED;
        }
        if let Some(status) = step(process, &mut regs) {
            break status;
        }
    };
    process.end(status);
}

/// Runs the program once and does what it wants; its status when it ends by that.
fn step(process: &Arc<Process>, regs: &mut UserRegs) -> Option<i32> {
    if !process.os().become_current(process) {
        println!("{}[{}]: no memory for page tables", Name(process.name()), process.pid());
        return Some(STATUS_KILLED);
    }
    match process.os().user.run(regs, process.fpu) {
        UserExit::Syscall => match syscall::call(process, regs) {
            Flow::Answer(answer) => {
                regs.rax = answer as u64;
                None
            }
            Flow::Replaced => None,
            Flow::End(status) => Some(status),
        },
        UserExit::Interrupted => {
            process.os().kernel.yield_now();
            None
        }
        UserExit::PageFault { address, write, execute, .. } => {
            let want = match (execute, write) {
                (true, _) => Want::Execute,
                (_, true) => Want::Write,
                _ => Want::Read,
            };
            page_fault(process, regs, address, want)
        }
        UserExit::Fault { vector, error } => {
            let name = Name(process.name());
            let (pid, rip) = (process.pid(), regs.rip);
            println!("{name}[{pid}]: exception {vector}, error {error:#x}, at {rip:#x}");
            Some(STATUS_FAULT + i32::from(vector))
        }
    }
}

fn page_fault(process: &Process, regs: &UserRegs, address: u64, want: Want) -> Option<i32> {
    let served = process.with_space(|space| space.fault(address, want));
    let denied = served.unwrap_or(Err(Denied::Address)).err()?;
    let (name, pid, rip) = (Name(process.name()), process.pid(), regs.rip);
    let way = match want {
        Want::Read => "read",
        Want::Write => "written",
        Want::Execute => "run",
    };
    match denied {
        Denied::Address => {
            println!("{name}[{pid}]: {address:#x} cannot be {way}, at {rip:#x}");
            Some(STATUS_FAULT + PAGE_FAULT)
        }
        Denied::Memory => {
            println!("{name}[{pid}]: no memory for {address:#x}, at {rip:#x}");
            Some(STATUS_KILLED)
        }
    }
}

impl crate::os::Os {
    /// Makes the machine run this process's program next, and end that when others want to run; false
    /// without memory.
    fn become_current(&self, process: &Process) -> bool {
        if !self.is_current(process.pid()) {
            let id = process.with_space(|space| space.id());
            if id.is_none_or(|id| self.user.activate(id).is_err()) {
                return false;
            }
            let mut answers = [-1; crate::platform::ANSWERS];
            answers[pvkernel_abi::Call::Null as usize] = 0;
            answers[pvkernel_abi::Call::Getpid as usize] = i64::from(process.pid());
            answers[pvkernel_abi::Call::Getppid as usize] = i64::from(process.parent());
            self.user.set_answers(&answers);
            let now_ns = self.kernel.now_ns();
            self.meters.turn(process.pid(), self.kernel.busy_ns(now_ns));
            self.set_current(process.pid(), now_ns + SLICE_NS);
        }
        if let Some(limit_ns) = self.kernel.run_limit_ns(self.slice_end_ns()) {
            self.user.set_slice(Some(limit_ns));
        }
        true
    }
}
