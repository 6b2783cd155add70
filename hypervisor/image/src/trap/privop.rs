//! Privileged instructions of guest kernels, which arrive as protection faults.

use hv_core::cpuid::Via;
use hv_core::emul::cr;
use hv_core::emul::{privop, PrivOp};
use hv_core::trap::flags::{RF, TF};
use hv_core::trap::{vector, Mode};
use hv_machine::{cpu, segments, GuestRegs};
use hypercall_abi::addr::Mfn;
use hypercall_abi::errno::Errno;

use super::{cpuid, fault, fetch, io, msr};
use crate::current::Here;
use crate::hypercall::debug;
use crate::hypercall::mmuext::load_root;
use crate::{fpu, upcall};

/// What an emulated instruction did.
pub enum Done {
    /// It is finished: go on behind it.
    Next,
    /// It is finished for now: execute it again (string instructions).
    Stay,
    /// The guest gets its protection fault.
    Refused,
    /// The guest gets "invalid opcode" instead.
    Undefined,
    /// The guest was sent elsewhere.
    Delivered,
}

/// The saved registers as the emulation core reads them.
pub struct View<'a>(&'a GuestRegs);

impl<'a> View<'a> {
    /// A view of these registers.
    pub fn new(regs: &'a GuestRegs) -> Self {
        Self(regs)
    }
}

impl hv_core::emul::GuestRegs for View<'_> {
    fn gpr(&self, number: u8) -> u64 {
        read_gpr(self.0, number)
    }

    fn rip(&self) -> u64 {
        self.0.rip
    }

    fn rflags(&self) -> u64 {
        self.0.rflags
    }

    fn fs_base(&self) -> u64 {
        segments::fs_base()
    }

    fn gs_base(&self) -> u64 {
        segments::gs_base_current()
    }
}

/// A general register by the number instructions use.
pub fn read_gpr(regs: &GuestRegs, number: u8) -> u64 {
    let mut copy = *regs;
    *gpr(&mut copy, number)
}

/// Sets a general register by the number instructions use.
pub fn write_gpr(regs: &mut GuestRegs, number: u8, value: u64) {
    *gpr(regs, number) = value;
}

fn gpr(regs: &mut GuestRegs, number: u8) -> &mut u64 {
    match number & 15 {
        0 => &mut regs.rax,
        1 => &mut regs.rcx,
        2 => &mut regs.rdx,
        3 => &mut regs.rbx,
        4 => &mut regs.rsp,
        5 => &mut regs.rbp,
        6 => &mut regs.rsi,
        7 => &mut regs.rdi,
        8 => &mut regs.r8,
        9 => &mut regs.r9,
        10 => &mut regs.r10,
        11 => &mut regs.r11,
        12 => &mut regs.r12,
        13 => &mut regs.r13,
        14 => &mut regs.r14,
        _ => &mut regs.r15,
    }
}

/// Emulates the instruction at rip; false when it is none that is emulated or it is not allowed.
pub fn emulate(here: &Here, regs: &mut GuestRegs) -> bool {
    let Ok(decoded) = privop::decode(&fetch(regs), &View::new(regs)) else { return false };
    let kernel = upcall::mode() == Mode::Kernel;
    if decoded.op.needs_kernel_mode() && !kernel {
        return false;
    }
    match execute(here, regs, decoded.op) {
        Done::Next => {
            advance(here, regs, u64::from(decoded.len));
            true
        }
        Done::Stay | Done::Delivered => true,
        Done::Refused => false,
        Done::Undefined => {
            upcall::exception(here, regs, vector::INVALID_OPCODE, 0);
            true
        }
    }
}

/// Goes on behind an emulated instruction; a guest that single-steps gets its trap.
pub fn advance(here: &Here, regs: &mut GuestRegs, len: u64) {
    const DR6_SINGLE_STEP: u64 = 1 << 14;
    regs.rip = regs.rip.wrapping_add(len);
    regs.rflags &= !RF;
    if regs.rflags & TF != 0 {
        here.vcpu().state.lock().debug.merge_dr6(DR6_SINGLE_STEP);
        upcall::exception(here, regs, vector::DEBUG, 0);
    }
}

fn execute(here: &Here, regs: &mut GuestRegs, op: PrivOp) -> Done {
    match op {
        PrivOp::Cli | PrivOp::Sti => allowed(io::iopl_allows(here)),
        PrivOp::Clts => {
            fpu::set_ts(here, false);
            Done::Next
        }
        PrivOp::ReadCr { cr, gpr } => read_cr(here, regs, cr, gpr),
        PrivOp::WriteCr { cr, gpr } => write_cr(here, cr, read_gpr(regs, gpr)),
        PrivOp::ReadDr { dr, gpr } => match debug::get(here, u64::from(dr)) {
            Ok(value) => {
                write_gpr(regs, gpr, value);
                Done::Next
            }
            Err(errno) => debug_error(errno),
        },
        PrivOp::WriteDr { dr, gpr } => {
            debug::set(here, u64::from(dr), read_gpr(regs, gpr)).map_or_else(debug_error, |()| Done::Next)
        }
        PrivOp::Rdmsr => msr::read(here, regs),
        PrivOp::Wrmsr => msr::write(here, regs),
        PrivOp::Rdtsc | PrivOp::Rdtscp => read_tsc(here, regs, matches!(op, PrivOp::Rdtscp)),
        PrivOp::Cpuid => {
            cpuid::execute(here, regs, Via::Fault);
            Done::Next
        }
        PrivOp::Xsetbv => xsetbv(here, regs),
        PrivOp::Wbinvd => {
            if here.dom().has_devices.load(core::sync::atomic::Ordering::Relaxed) {
                cpu::wbinvd();
            }
            Done::Next
        }
        PrivOp::In { port, width } => io::input(here, regs, port, width),
        PrivOp::Out { port, width } => io::output(here, regs, port, width),
        PrivOp::Ins(string) => io::input_string(here, regs, string),
        PrivOp::Outs(string) => io::output_string(here, regs, string),
    }
}

fn allowed(ok: bool) -> Done {
    if ok {
        Done::Next
    } else {
        Done::Refused
    }
}

fn debug_error(errno: Errno) -> Done {
    if errno == Errno::ENODEV {
        Done::Undefined
    } else {
        Done::Refused
    }
}

/// The bits of CR4 a guest owns after writing `value`.
pub fn guest_cr4(value: u64) -> u64 {
    cpuid::policy(false).cr4().write(value)
}

/// CR4 as a guest that owns these bits reads it.
pub fn shown_cr4(owned: u64) -> u64 {
    cpuid::policy(false).cr4().read(cpu::host_cr4(), owned)
}

fn read_cr(here: &Here, regs: &mut GuestRegs, number: u8, target: u8) -> Done {
    let value = {
        let state = here.vcpu().state.lock();
        match number {
            0 => cr::read_cr0(cpu::host_cr0(), state.ts),
            2 => {
                drop(state);
                fault::guest_cr2(here)
            }
            3 => state.root.map_or(0, Mfn::maddr),
            4 => shown_cr4(state.cr4),
            _ => return Done::Refused,
        }
    };
    write_gpr(regs, target, value);
    Done::Next
}

fn write_cr(here: &Here, number: u8, value: u64) -> Done {
    match number {
        0 => {
            let shown = cr::read_cr0(cpu::host_cr0(), here.vcpu().state.lock().ts);
            match cr::write_cr0(shown, value) {
                Ok(ts) => {
                    fpu::set_ts(here, ts);
                    Done::Next
                }
                Err(_) => Done::Refused,
            }
        }
        2 => {
            fault::set_guest_cr2(here, value);
            Done::Next
        }
        3 => allowed(load_root(here, Mfn::from_maddr(value))),
        4 => {
            let owned = guest_cr4(value);
            here.vcpu().state.lock().cr4 = owned;
            cpu::set_guest_cr4(owned);
            Done::Next
        }
        _ => Done::Refused,
    }
}

/// Reached only while the guest's own CR4.TSD makes the instruction trap.
fn read_tsc(here: &Here, regs: &mut GuestRegs, with_aux: bool) -> Done {
    if upcall::mode() == Mode::User && here.vcpu().state.lock().cr4 & cr::CR4_TSD != 0 {
        return Done::Refused;
    }
    let tsc = cpu::rdtsc();
    regs.rax = tsc & 0xffff_ffff;
    regs.rdx = tsc >> 32;
    if with_aux {
        regs.rcx = 0;
    }
    Done::Next
}

fn xsetbv(here: &Here, regs: &GuestRegs) -> Done {
    let value = regs.rax & 0xffff_ffff | regs.rdx << 32;
    let mut state = here.vcpu().state.lock();
    let has = state.cr4 & cr::CR4_OSXSAVE != 0;
    match cr::write_xcr0(regs.rcx as u32, value, cpuid::offered_xcr0(), has) {
        Ok(xcr0) => {
            state.xcr0 = xcr0;
            cpu::xsetbv(xcr0);
            Done::Next
        }
        Err(_) => Done::Refused,
    }
}
