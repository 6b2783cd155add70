//! What is done between a handler and the guest: work that others asked this CPU for, scheduling,
//! delivery of events.
//!
//! The machine's exit path calls [`exit_work`] whenever a work bit is set or the guest has an event
//! to take, and looks again afterwards, so nothing here has to loop.

use hv_machine::irq::{VEC_SERIAL, VEC_TIMER};
use hv_machine::{cpuinfo, GuestRegs};
use hypercall_abi::Virq;

use crate::current::{Current, Here};
use crate::domain::destroy;
use crate::hypercall::physdev;
use crate::{events, sched, upcall, wake};

/// Kinds of work a CPU can be asked for.
pub mod work {
    /// Decide anew who runs.
    pub const SCHEDULE: u32 = hv_machine::cpuinfo::WORK_SCHEDULE;
    /// The timer fired.
    pub const TIMER: u32 = 2;
    /// The serial port has input.
    pub const CONSOLE: u32 = 4;
    /// A dead domain may have lost its last frame.
    pub const REAP: u32 = 8;
    /// A non-maskable interrupt waits for the running vCPU.
    pub const NMI: u32 = 16;
}

/// Does all work that is asked for and prepares the guest that is to run.
pub extern "C" fn exit_work(regs: &mut GuestRegs, current: &mut Current) {
    let asked = cpuinfo::take_work();
    background(asked, current.as_ref());
    if asked & work::SCHEDULE != 0 || cpuinfo::work_pending(work::SCHEDULE) {
        sched::schedule(regs, current);
    }
    match current {
        Some(here) => upcall::deliver_pending(here, regs),
        None => cpuinfo::raise_work(work::SCHEDULE),
    }
}

/// Does the work of an idle CPU that is not scheduling.
pub fn background_work() {
    let asked = cpuinfo::take_work();
    cpuinfo::raise_work(asked & work::SCHEDULE);
    background(asked, None);
}

fn background(asked: u32, here: Option<&Here>) {
    if asked & work::TIMER != 0 {
        if wake::expire(here) {
            cpuinfo::raise_work(work::SCHEDULE);
        }
        wake::rearm();
    }
    if asked & work::CONSOLE != 0 {
        events::raise_global(Virq::CONSOLE);
    }
    if asked & work::REAP != 0 {
        destroy::reap();
    }
}

/// An interrupt with this vector arrived: it becomes a work bit or an event, nothing is done here. The
/// CPU was in guest mode or idle, so no lock is held.
pub extern "C" fn interrupt(vector: u8) {
    match vector {
        VEC_TIMER => cpuinfo::raise_work(work::TIMER),
        VEC_SERIAL => cpuinfo::raise_work(work::CONSOLE),
        _ => physdev::interrupt(vector),
    }
}
