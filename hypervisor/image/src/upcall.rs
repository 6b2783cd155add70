//! Entering guest handlers, and the way back.
//!
//! A delivery builds its frame with `hv_core::trap`, writes it to the guest's stack and points the
//! registers at the handler. A guest whose stack or handler cannot be used is beyond repair and
//! crashes. Modes of the guest (kernel, user) change here and nowhere else.

use core::sync::atomic::Ordering;
use hv_core::trap::StackContext;
use hv_core::trap::{
    iret as iret_core, vector, Bounce, Handler, Interrupted, IretOutcome, Kind, Mode,
};
use hv_machine::{cpu, cpuinfo, guest, GuestRegs, SyscallKind, VECTOR_SYSCALL_EXIT};
use hypercall_abi::regs::{IretContext, FLAT_RING3_CS32};
use hypercall_abi::vm_assist;
use hypercall_abi::GuestVa;

use crate::counters::bump;
use crate::current::{self, Current, Here};
use crate::domain::vcpu::flag;
use crate::domain::{lifecycle, Vcpu, VcpuState};
use crate::{events, exit, guestmem, trap};

/// Value of `GuestRegs::vector` that makes the exit path restore everything with `IRETQ`.
pub const EXIT_BY_IRET: u32 = 0;

/// The mode of the running guest.
#[inline]
pub fn mode() -> Mode {
    if cpuinfo::kernel_mode() {
        Mode::Kernel
    } else {
        Mode::User
    }
}

#[inline(always)]
fn interrupted(regs: &GuestRegs) -> Interrupted {
    let GuestRegs { rcx, r11, rip, cs, rflags, rsp, ss, .. } = *regs;
    Interrupted { rcx, r11, rip, cs: cs as u16, rflags, rsp, ss: ss as u16 }
}

/// Makes the guest continue in a handler, on a frame that leads back to where it is now. In line,
/// because all that depends on the kind of frame is then decided by the compiler.
#[inline(always)]
pub fn deliver(
    here: &Here,
    regs: &mut GuestRegs,
    kind: Kind,
    handler: impl FnOnce(&VcpuState) -> Option<Handler>,
) {
    bump(&here.counters().bounces);
    let mut state = here.vcpu().state.lock();
    let Some(handler) = handler(&state) else {
        drop(state);
        return die(here, regs, "has no handler");
    };
    let mode = if kind.is_from_user() || !state.kernel_mode { Mode::User } else { Mode::Kernel };
    if mode == Mode::User && enter(&mut state, Mode::Kernel).is_none() {
        drop(state);
        return die(here, regs, "has no root table");
    }
    let context = StackContext {
        mode,
        kernel_sp: state.kernel_sp,
        upcall_mask: cpuinfo::vcpu_words().mask.load(Ordering::Relaxed),
        shown_iopl: if shows_iopl(here) { state.iopl } else { 0 },
    };
    drop(state);
    push(here, regs, kind, handler, &context);
}

/// The part that needs no lock.
#[inline(always)]
fn push(here: &Here, regs: &mut GuestRegs, kind: Kind, handler: Handler, context: &StackContext) {
    let Some(bounce) = Bounce::new(kind, handler, &interrupted(regs), context) else {
        return die(here, regs, "has no stack for its handler");
    };
    let word = |index| bounce.word(index, &interrupted(regs));
    if guest::copy_out_words(GuestVa::new(bounce.base), kind.words(), word).is_err() {
        return die(here, regs, "has no memory where its stack points");
    }
    (regs.rip, regs.rsp, regs.rflags) = (bounce.rip, bounce.base, bounce.rflags);
    (regs.cs, regs.ss) = (u64::from(Bounce::CS), u64::from(Bounce::SS));
    regs.vector = VECTOR_SYSCALL_EXIT;
    if bounce.sets_mask {
        cpuinfo::vcpu_words().mask.store(1, Ordering::Release);
    }
}

#[cold]
#[inline(never)]
fn die(here: &Here, regs: &GuestRegs, why: &str) {
    trap::report(here, regs, why);
    lifecycle::crash(here.dom(), why);
}

/// Whether saved flags show the I/O privilege level.
#[inline(always)]
fn shows_iopl(here: &Here) -> bool {
    here.dom().assisted(vm_assist::TYPE_ARCHITECTURAL_IOPL)
}

/// Switches to the other mode; `None` without a root table for it.
#[inline(always)]
fn enter(state: &mut VcpuState, mode: Mode) -> Option<()> {
    let is_kernel = mode == Mode::Kernel;
    let root = if is_kernel { state.root } else { state.user_root }?;
    state.kernel_mode = is_kernel;
    cpu::switch_mode(root, is_kernel);
    Some(())
}

/// Delivers an exception of this vector.
pub fn exception(here: &Here, regs: &mut GuestRegs, vector: u8, error_code: u32) {
    raise(here, regs, vector, error_code);
}

/// The same in line, for the ways most exceptions take.
#[inline(always)]
pub fn raise(here: &Here, regs: &mut GuestRegs, vector: u8, error_code: u32) {
    let handler = |state: &VcpuState| state.traps.handler(vector);
    if vector::has_error_code(vector) {
        deliver(here, regs, Kind::WithErrorCode(error_code), handler);
    } else {
        deliver(here, regs, Kind::Plain, handler);
    }
}

/// Tells the guest of its events, when that is all there is to do. The mask is 0 then.
pub extern "C" fn event(regs: &mut GuestRegs, current: &Current) {
    let here = current::here(current);
    let state = here.vcpu().state.try_lock().filter(|state| state.kernel_mode);
    match state.and_then(|state| state.callbacks.event) {
        Some(handler) if handler.masks_events() && !shows_iopl(here) => {
            bump(&here.counters().bounces);
            push(here, regs, Kind::Plain, handler, &StackContext::default());
        }
        _ => event_any(here, regs),
    }
}

/// The same in any state of the vCPU.
#[inline(never)]
fn event_any(here: &Here, regs: &mut GuestRegs) {
    deliver(here, regs, Kind::Plain, |state| state.callbacks.event);
}

/// Delivers what waits for the running vCPU: a non-maskable interrupt, then events.
pub fn deliver_pending(here: &Here, regs: &mut GuestRegs) {
    if here.dom().is_held() {
        return cpuinfo::raise_work(exit::work::SCHEDULE);
    }
    let vcpu = here.vcpu();
    if vcpu.has(flag::NMI_PENDING) {
        nmi(here, regs);
    }
    if events::upcall_wanted() {
        event_any(here, regs);
    }
}

fn nmi(here: &Here, regs: &mut GuestRegs) {
    let vcpu = here.vcpu();
    if vcpu.set(flag::NMI_MASKED) & flag::NMI_MASKED != 0 {
        return;
    }
    vcpu.clear(flag::NMI_PENDING);
    deliver(here, regs, Kind::Plain, |state| state.traps.handler(vector::NMI));
}

/// The frame for segment registers that could not be loaded.
pub fn failsafe(here: &Here, regs: &mut GuestRegs) {
    let selectors = {
        let state = here.vcpu().state.lock();
        let s = &state.segments;
        [s.ds, s.es, s.fs, s.gs]
    };
    deliver(here, regs, Kind::Failsafe(selectors), |state| state.callbacks.failsafe);
}

/// A system call of user mode.
pub extern "C" fn user_syscall(regs: &mut GuestRegs, current: &Current) {
    deliver(current::here(current), regs, Kind::Syscall, |state| state.callbacks.syscall);
}

/// Any other fast system call.
pub extern "C" fn rare_syscall(regs: &mut GuestRegs, current: &Current, kind: SyscallKind) {
    let here = current::here(current);
    let callbacks = here.vcpu().state.lock().callbacks;
    let compat = kind == SyscallKind::Syscall32;
    match if compat { callbacks.syscall32 } else { callbacks.sysenter } {
        Some(handler) => {
            let kind = if compat { Kind::Syscall32 } else { Kind::Sysenter };
            deliver(here, regs, kind, |_| Some(handler));
        }
        None if compat => {
            // As on a processor without the instruction: the fault is at the instruction.
            regs.rip = regs.rip.wrapping_sub(2);
            regs.cs = u64::from(FLAT_RING3_CS32);
            exception(here, regs, vector::INVALID_OPCODE, 0);
        }
        None => exception(here, regs, vector::GENERAL_PROTECTION, 0),
    }
}

/// The `iret` hypercall.
#[inline(always)]
pub fn iret(here: &Here, regs: &mut GuestRegs) {
    let Ok(frame) = guestmem::read::<IretContext>(regs.rsp) else {
        return die(here, regs, "returned through an unreadable frame");
    };
    let out = iret_core::decode(&frame);
    let Interrupted { rcx, r11, rip, cs, rflags, rsp, ss } = out.regs;
    (regs.rax, regs.rcx, regs.r11) = (out.rax, rcx, r11);
    (regs.rip, regs.rsp, regs.rflags) = (rip, rsp, rflags);
    (regs.cs, regs.ss) = (u64::from(cs), u64::from(ss));
    regs.vector = if out.by_sysret { VECTOR_SYSCALL_EXIT } else { EXIT_BY_IRET };
    cpuinfo::vcpu_words().mask.store(out.masks_events.into(), Ordering::Release);
    let has_iopl = shows_iopl(here);
    if (out.to_user || has_iopl) && return_to(here, &out, has_iopl).is_none() {
        return die(here, regs, "returned to user mode without a user root table");
    }
    if here.vcpu().has_any(flag::NMI_PENDING | flag::NMI_MASKED) {
        unmask_nmi(here.vcpu());
    }
}

/// The part of `iret` that needs the state of the vCPU.
#[inline(always)]
fn return_to(here: &Here, out: &IretOutcome, has_iopl: bool) -> Option<()> {
    let mut state = here.vcpu().state.lock();
    if has_iopl {
        state.iopl = out.iopl;
    }
    match out.to_user {
        true => enter(&mut state, Mode::User),
        false => Some(()),
    }
}

#[cold]
fn unmask_nmi(vcpu: &Vcpu) {
    if vcpu.clear(flag::NMI_MASKED) & flag::NMI_PENDING != 0 {
        cpuinfo::raise_work(exit::work::NMI);
    }
}
