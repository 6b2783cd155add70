//! `fpu_taskswitch`, `set_debugreg`, `get_debugreg`.

use hv_core::emul::cr::CR4_DE;
use hv_machine::cpu;
use hypercall_abi::Errno;

use super::{Answer, Call};
use crate::{current::Here, fpu, switch};

/// `fpu_taskswitch(set)`.
pub fn fpu_taskswitch(call: &mut Call<'_>) -> Answer {
    fpu::set_ts(call.here, call.args[0] != 0);
    Ok(0)
}

/// `set_debugreg(reg, value)`.
pub fn set_debugreg(call: &mut Call<'_>) -> Answer {
    let [register, value, ..] = call.args;
    set(call.here, register, value)?;
    Ok(0)
}

/// `get_debugreg(reg)`.
pub fn get_debugreg(call: &mut Call<'_>) -> Answer {
    Ok(get(call.here, call.args[0])? as i64)
}

/// Writes a debug register of the running vCPU.
///
/// # Errors
/// As the hypercall: `EPERM`, `EINVAL`, `ENODEV`.
pub fn set(here: &Here, register: u64, value: u64) -> Result<(), Errno> {
    let mut state = here.vcpu().state.lock();
    let has_de = state.cr4 & CR4_DE != 0;
    let was_active = state.debug.is_active();
    state.debug.set(register, value, has_de)?;
    if state.debug.is_active() {
        switch::load_debug_regs(&state);
    } else if was_active {
        cpu::clear_debug_regs();
    }
    Ok(())
}

/// Reads a debug register of the running vCPU.
///
/// # Errors
/// `ENODEV`.
pub fn get(here: &Here, register: u64) -> Result<u64, Errno> {
    let state = here.vcpu().state.lock();
    state.debug.get(register, state.cr4 & CR4_DE != 0)
}
