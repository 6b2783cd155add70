//! Entering guest handlers, and the way back.
//!
//! A delivery builds its frame with `hv_core::trap`, writes it to the guest's stack and points the
//! registers at the handler. A guest whose stack or handler cannot be used is beyond repair and
//! crashes. Modes of the guest (kernel, user) change here and nowhere else.

use hv_core::trap::{bounce, iret as iret_core, Bounce, Exit, Handler, Interrupted, Kind, Mode};
use hv_core::trap::{vector, Selectors, StackContext};
use hv_machine::{cpu, cpuinfo, guest, GuestRegs, SyscallKind, VECTOR_SYSCALL_EXIT};
use hypercall_abi::addr::GuestVa;
use hypercall_abi::regs::{IretContext, FLAT_KERNEL_CS, FLAT_RING3_CS32};
use hypercall_abi::vm_assist;
use zerocopy::IntoBytes;

use crate::counters::{self, bump};
use crate::current::{self, Here};
use crate::domain::vcpu::flag;
use crate::domain::{lifecycle, VcpuState};
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

#[inline]
fn interrupted(regs: &GuestRegs) -> Interrupted {
    Interrupted {
        rcx: regs.rcx,
        r11: regs.r11,
        rip: regs.rip,
        cs: regs.cs as u16,
        rflags: regs.rflags,
        rsp: regs.rsp,
        ss: regs.ss as u16,
    }
}

/// Makes the guest continue in `handler`, on a frame that leads back to where it is now.
#[inline]
pub fn deliver(here: &Here, regs: &mut GuestRegs, kind: Kind, handler: Option<Handler>) {
    bump(&counters::here().bounces);
    let vcpu = here.vcpu();
    let mut state = vcpu.state.lock();
    let context = StackContext {
        mode: mode(),
        kernel_sp: state.kernel_sp,
        upcall_mask: events::upcall_mask(vcpu),
        shown_iopl: shown_iopl(here, &state),
    };
    let built = Bounce::new(kind, handler, &interrupted(regs), &context);
    let Ok(bounce) = built else {
        drop(state);
        return die(here, regs, "has no handler, or no stack for it");
    };
    if bounce.enters_kernel && !enter_kernel(&mut state) {
        drop(state);
        return die(here, regs, "has no root table");
    }
    drop(state);
    if guest::copy_out_bytes(GuestVa::new(bounce.base), bounce.words().as_bytes()).is_err() {
        return die(here, regs, "has no memory where its stack points");
    }
    apply(regs, &bounce);
    if bounce.sets_mask {
        events::set_upcall_mask(vcpu, true);
    }
}

#[inline]
fn apply(regs: &mut GuestRegs, bounce: &Bounce) {
    regs.rip = bounce.rip;
    regs.cs = u64::from(bounce::Bounce::CS);
    regs.rflags = bounce.rflags;
    regs.rsp = bounce.base;
    regs.ss = u64::from(bounce::Bounce::SS);
    regs.vector = VECTOR_SYSCALL_EXIT;
}

fn die(here: &Here, regs: &GuestRegs, why: &str) {
    trap::report(here, regs, why);
    lifecycle::crash(here.dom(), why);
}

/// The I/O privilege level shown in saved flags.
fn shown_iopl(here: &Here, state: &VcpuState) -> u8 {
    if here.dom().assisted(vm_assist::TYPE_ARCHITECTURAL_IOPL) {
        state.iopl
    } else {
        0
    }
}

/// Switches to guest-kernel mode; false without a root table for it.
fn enter_kernel(state: &mut VcpuState) -> bool {
    let Some(root) = state.root else { return false };
    state.kernel_mode = true;
    cpuinfo::set_kernel_mode(true);
    cpu::load_guest_root(root);
    cpu::swapgs();
    true
}

/// Switches to guest-user mode; false without a root table for it.
fn enter_user(state: &mut VcpuState) -> bool {
    let Some(root) = state.user_root else { return false };
    state.kernel_mode = false;
    cpuinfo::set_kernel_mode(false);
    cpu::load_guest_root(root);
    cpu::swapgs();
    true
}

/// Delivers an exception of this vector.
#[inline]
pub fn exception(here: &Here, regs: &mut GuestRegs, vector: u8, error_code: u32) {
    let handler = here.vcpu().state.lock().traps.handler(vector);
    let kind = if vector::has_error_code(vector) {
        Kind::WithErrorCode(error_code)
    } else {
        Kind::Plain
    };
    deliver(here, regs, kind, handler);
}

/// Delivers what waits for the running vCPU: a non-maskable interrupt, then events.
pub fn deliver_pending(regs: &mut GuestRegs) {
    let here = current::here();
    if here.dom().is_held() {
        return cpuinfo::raise_work(exit::work::SCHEDULE);
    }
    let vcpu = here.vcpu();
    if vcpu.has(flag::NMI_PENDING) {
        nmi(&here, regs);
    }
    if events::upcall_pending(here.dom(), vcpu.id) && events::upcall_mask(vcpu) == 0 {
        let handler = vcpu.state.lock().callbacks.event;
        deliver(&here, regs, Kind::Plain, handler);
    }
}

fn nmi(here: &Here, regs: &mut GuestRegs) {
    let vcpu = here.vcpu();
    let handler = {
        let mut state = vcpu.state.lock();
        if state.nmi_masked {
            return;
        }
        state.nmi_masked = true;
        state.traps.handler(vector::NMI)
    };
    vcpu.clear(flag::NMI_PENDING);
    deliver(here, regs, Kind::Plain, handler);
}

/// The frame for segment registers that could not be loaded.
pub fn failsafe(regs: &mut GuestRegs) {
    let here = current::here();
    let (handler, selectors) = {
        let state = here.vcpu().state.lock();
        let s = &state.segments;
        let selectors = Selectors { ds: s.ds, es: s.es, fs: s.fs, gs: s.gs };
        (state.callbacks.failsafe, selectors)
    };
    deliver(&here, regs, Kind::Failsafe(selectors), handler);
}

/// A fast system call that is no hypercall.
pub fn user_syscall(regs: &mut GuestRegs, kind: SyscallKind) {
    let here = current::here();
    let callbacks = here.vcpu().state.lock().callbacks;
    match kind {
        SyscallKind::Syscall64 => deliver(&here, regs, Kind::Syscall, callbacks.syscall),
        SyscallKind::Syscall32 => match callbacks.syscall32 {
            Some(handler) => deliver(&here, regs, Kind::Syscall32, Some(handler)),
            None => {
                // As on a processor without the instruction: the fault is at the instruction.
                regs.rip = regs.rip.wrapping_sub(2);
                regs.cs = u64::from(FLAT_RING3_CS32);
                exception(&here, regs, vector::INVALID_OPCODE, 0);
            }
        },
        SyscallKind::Sysenter => match callbacks.sysenter {
            Some(handler) => deliver(&here, regs, Kind::Sysenter, Some(handler)),
            None => exception(&here, regs, vector::GENERAL_PROTECTION, 0),
        },
    }
}

/// The `iret` hypercall.
pub fn iret(here: &Here, regs: &mut GuestRegs) {
    let Ok(frame) = guestmem::read::<IretContext>(regs.rsp) else {
        return die(here, regs, "returned through an unreadable frame");
    };
    let out = iret_core::decode(&frame);
    let vcpu = here.vcpu();
    let mut state = vcpu.state.lock();
    if out.to_user && !enter_user(&mut state) {
        drop(state);
        return die(here, regs, "returned to user mode without a user root table");
    }
    if here.dom().assisted(vm_assist::TYPE_ARCHITECTURAL_IOPL) {
        state.iopl = out.iopl;
    }
    state.nmi_masked = false;
    drop(state);
    regs.rip = out.rip;
    regs.rsp = out.rsp;
    regs.cs = u64::from(out.cs);
    regs.ss = u64::from(out.ss);
    regs.rflags = out.rflags;
    regs.rax = out.rax;
    regs.rcx = out.rcx;
    regs.r11 = out.r11;
    let fast = out.exit == Exit::Sysret64 && out.cs == FLAT_KERNEL_CS;
    regs.vector = if fast { VECTOR_SYSCALL_EXIT } else { EXIT_BY_IRET };
    events::set_upcall_mask(vcpu, out.upcall_mask != 0);
    if vcpu.has(flag::NMI_PENDING) {
        cpuinfo::raise_work(exit::work::NMI);
    }
}
