//! Registration of handlers: `set_trap_table`, `set_callbacks`, `callback_op`, `nmi_op`,
//! `stack_switch`, `vm_assist`.

use core::sync::atomic::Ordering;
use hv_core::trap::table::Installed;
use hypercall_abi::callback::{self, CallbackRegister, CallbackUnregister};
use hypercall_abi::errno::Errno;
use hypercall_abi::nmi::{self, XennmiCallback};
use hypercall_abi::regs::TrapInfo;
use hypercall_abi::vm_assist as assist;

use super::{Call, Outcome};
use crate::guestmem;

/// Entries of a trap table installed per entry of the hypervisor.
const ENTRIES_PER_PASS: u64 = 256;

/// `set_trap_table(traps)`.
pub fn set_trap_table(call: &mut Call<'_>) -> Outcome {
    let list = call.args[0];
    if list == 0 {
        call.here.vcpu().state.lock().traps.clear();
        return Outcome::Done(0);
    }
    for index in 0..ENTRIES_PER_PASS {
        let info: TrapInfo = match guestmem::read_at(list, index) {
            Ok(info) => info,
            Err(errno) => return errno.into(),
        };
        match call.here.vcpu().state.lock().traps.install(&info) {
            Ok(Installed::Entry) => {}
            Ok(Installed::End) => return Outcome::Done(0),
            Err(errno) => return errno.into(),
        }
    }
    match guestmem::element::<TrapInfo>(list, ENTRIES_PER_PASS) {
        Ok(rest) => {
            call.args[0] = rest;
            Outcome::Again
        }
        Err(errno) => errno.into(),
    }
}

/// `set_callbacks(event, failsafe, syscall)`.
pub fn set_callbacks(call: &mut Call<'_>) -> Outcome {
    let [event, failsafe, syscall, ..] = call.args;
    call.here.vcpu().state.lock().callbacks.set(event, failsafe, syscall);
    Outcome::Done(0)
}

/// `callback_op(cmd, arg)`.
pub fn callback_op(call: &mut Call<'_>) -> Outcome {
    let [command, arg, ..] = call.args;
    let state = &mut *call.here.vcpu().state.lock();
    let result = match command as u32 {
        callback::REGISTER => guestmem::read::<CallbackRegister>(arg).and_then(|op| {
            state.callbacks.register(op.kind, op.flags, op.address, &mut state.traps)
        }),
        callback::UNREGISTER => guestmem::read::<CallbackUnregister>(arg)
            .and_then(|op| state.callbacks.unregister(op.kind, &mut state.traps)),
        _ => Err(Errno::ENOSYS),
    };
    result.into()
}

/// `nmi_op(cmd, arg)`.
pub fn nmi_op(call: &mut Call<'_>) -> Outcome {
    let [command, arg, ..] = call.args;
    let mut state = call.here.vcpu().state.lock();
    let result = match command as u32 {
        nmi::REGISTER_CALLBACK => guestmem::read::<XennmiCallback>(arg)
            .and_then(|op| state.traps.register_nmi(op.handler_address)),
        nmi::UNREGISTER_CALLBACK => {
            state.traps.unregister_nmi();
            Ok(())
        }
        _ => Err(Errno::ENOSYS),
    };
    result.into()
}

/// `stack_switch(ss, sp)`.
pub fn stack_switch(call: &mut Call<'_>) -> Outcome {
    let [ss, sp, ..] = call.args;
    let mut state = call.here.vcpu().state.lock();
    state.kernel_ss = ss & 0xffff | 3;
    state.kernel_sp = sp;
    Outcome::Done(0)
}

/// `vm_assist(cmd, type)`.
pub fn vm_assist(call: &mut Call<'_>) -> Outcome {
    let [command, feature, ..] = call.args;
    let feature = feature as u32;
    let known = feature < 64 && assist::VALID_MASK_PV64 >> feature & 1 != 0;
    if !known {
        return Errno::EINVAL.into();
    }
    let bits = &call.here.dom().vm_assist;
    match command as u32 {
        assist::CMD_ENABLE => bits.fetch_or(1 << feature, Ordering::SeqCst),
        assist::CMD_DISABLE => bits.fetch_and(!(1 << feature), Ordering::SeqCst),
        _ => return Errno::ENOSYS.into(),
    };
    Outcome::Done(0)
}
