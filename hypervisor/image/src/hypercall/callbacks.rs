//! Registration of handlers: `set_trap_table`, `set_callbacks`, `callback_op`, `nmi_op`,
//! `stack_switch`, `vm_assist`.

use core::sync::atomic::Ordering;
use hypercall_abi::callback::{self, CallbackRegister, CallbackUnregister};
use hypercall_abi::nmi::{self, XennmiCallback};
use hypercall_abi::regs::TrapInfo;
use hypercall_abi::{vm_assist as assist, Errno};

use super::{ensure, Answer, Call, End};
use crate::domain::VcpuState;
use crate::guestmem;

/// Entries of a trap table installed per entry of the hypervisor.
const ENTRIES_PER_PASS: u64 = 256;

/// `set_trap_table(traps)`.
pub fn set_trap_table(call: &mut Call<'_>) -> Answer {
    let list = call.args[0];
    if list == 0 {
        call.here.vcpu().state.lock().traps.clear();
        return Ok(0);
    }
    for index in 0..ENTRIES_PER_PASS {
        let info: TrapInfo = guestmem::read_at(list, index)?;
        let more = call.here.vcpu().state.lock().traps.install(&info)?;
        if !more {
            return Ok(0);
        }
    }
    call.args[0] = guestmem::element::<TrapInfo>(list, ENTRIES_PER_PASS)?;
    Err(End::AGAIN)
}

/// `set_callbacks(event, failsafe, syscall)`.
pub fn set_callbacks(call: &mut Call<'_>) -> Answer {
    let [event, failsafe, syscall, ..] = call.args;
    call.here.vcpu().state.lock().callbacks.set(event, failsafe, syscall);
    Ok(0)
}

/// `callback_op(cmd, arg)`.
pub fn callback_op(call: &mut Call<'_>) -> Answer {
    let [command, arg, ..] = call.args;
    let VcpuState { callbacks, traps, .. } = &mut *call.here.vcpu().state.lock();
    match command as u32 {
        callback::REGISTER => {
            let op: CallbackRegister = guestmem::read(arg)?;
            callbacks.register(op.kind, op.flags, op.address, traps)?;
        }
        callback::UNREGISTER => {
            callbacks.unregister(guestmem::read::<CallbackUnregister>(arg)?.kind, traps)?;
        }
        _ => return Err(Errno::ENOSYS.into()),
    }
    Ok(0)
}

/// `nmi_op(cmd, arg)`.
pub fn nmi_op(call: &mut Call<'_>) -> Answer {
    let [command, arg, ..] = call.args;
    let traps = &mut call.here.vcpu().state.lock().traps;
    match command as u32 {
        nmi::REGISTER_CALLBACK => {
            traps.register_nmi(guestmem::read::<XennmiCallback>(arg)?.handler_address)?;
        }
        nmi::UNREGISTER_CALLBACK => traps.register_nmi(0)?,
        _ => return Err(Errno::ENOSYS.into()),
    }
    Ok(0)
}

/// `stack_switch(ss, sp)`.
pub fn stack_switch(call: &mut Call<'_>) -> Answer {
    let [ss, sp, ..] = call.args;
    let mut state = call.here.vcpu().state.lock();
    state.kernel_ss = ss & 0xffff | 3;
    state.kernel_sp = sp;
    Ok(0)
}

/// `vm_assist(cmd, type)`.
pub fn vm_assist(call: &mut Call<'_>) -> Answer {
    let [command, feature, ..] = call.args;
    let bit = 1u64.checked_shl(feature as u32).unwrap_or(0) & assist::VALID_MASK_PV64;
    ensure(bit != 0, Errno::EINVAL)?;
    let bits = &call.here.dom().vm_assist;
    match command as u32 {
        assist::CMD_ENABLE => bits.fetch_or(bit, Ordering::SeqCst),
        assist::CMD_DISABLE => bits.fetch_and(!bit, Ordering::SeqCst),
        _ => return Err(Errno::ENOSYS.into()),
    };
    Ok(0)
}
