//! The FPU is switched lazily: a vCPU finds it locked (CR0.TS) until its first use.
//!
//! Whoever used it during its stretch on the CPU is saved when it leaves, so no state of a vCPU
//! stays behind in a CPU that does not run it.

use core::cell::Cell;
use hv_machine::cpu;
use hv_machine::percpu::PerCpu;

use crate::current::Here;
use crate::domain::VcpuState;

/// Whether the FPU of this CPU holds the state of the vCPU that runs here.
static LOADED: PerCpu<Cell<bool>> = PerCpu::new(|| Cell::new(false));

/// Saves the outgoing vCPU's FPU if it was used.
pub fn save(state: &mut VcpuState) {
    if LOADED.get().replace(false) {
        cpu::clts();
        state.fpu.save();
        cpu::stts();
    }
}

/// Saves the state but keeps it loaded, for those who want to look at it.
pub fn sync(state: &mut VcpuState) {
    if LOADED.get().get() {
        cpu::clts();
        state.fpu.save();
        if state.ts {
            cpu::stts();
        }
    }
}

/// Loads the running vCPU's state so that the next instruction can use it.
fn load(state: &mut VcpuState) {
    cpu::clts();
    if !LOADED.get().replace(true) {
        state.fpu.restore();
        state.fpu_used = true;
    }
}

/// Handles "device not available"; true when the guest asked for it by setting its own TS.
pub fn not_available(here: &Here) -> bool {
    let mut state = here.vcpu().state.lock();
    let guest_wants_it = core::mem::replace(&mut state.ts, false);
    load(&mut state);
    guest_wants_it
}

/// Changes the guest's TS.
pub fn set_ts(here: &Here, ts: bool) {
    let mut state = here.vcpu().state.lock();
    state.ts = ts;
    if ts {
        cpu::stts();
    } else if LOADED.get().get() {
        cpu::clts();
    }
}

/// Makes this CPU's value.
pub fn prepare_cpu() {
    LOADED.get();
}
