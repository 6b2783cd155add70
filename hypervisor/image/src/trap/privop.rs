//! Privileged instructions of guest kernels, which arrive as protection faults.

use core::mem::offset_of;
use core::sync::atomic::Ordering;
use hv_core::cpuid::Via;
use hv_core::emul::{cr, privop, PrivOp};
use hv_core::trap::flags::{RF, TF};
use hv_core::trap::{vector, Mode};
use hv_machine::segments::{self, Base};
use hv_machine::{cpu, cpuinfo, GuestRegs};
use hypercall_abi::{Errno, Mfn};

use super::{cpuid, fetch, io, msr};
use crate::current::Here;
use crate::hypercall::debug;
use crate::hypercall::mmuext::load_root;
use crate::{fpu, upcall};

/// How an emulated instruction ends when the guest does not just go on behind it.
pub enum Detour {
    /// rip stays: the guest was sent elsewhere.
    Stay,
    /// One element of a repeated instruction is done; it is executed again for the next.
    Again,
    /// The guest gets its protection fault.
    Refused,
    /// The guest gets "invalid opcode" instead.
    Undefined,
}

/// What an emulated instruction did; `Ok` when it is finished.
pub type Emulated<T = ()> = Result<T, Detour>;

impl From<Errno> for Detour {
    fn from(errno: Errno) -> Self {
        match errno {
            Errno::ENODEV => Self::Undefined,
            _ => Self::Refused,
        }
    }
}

/// Refuses an instruction that is not allowed.
pub fn require(is_allowed: bool) -> Emulated {
    is_allowed.then_some(()).ok_or(Detour::Refused)
}

/// The saved registers as the emulation core reads them.
pub struct View<'a>(pub &'a GuestRegs);

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
        segments::base(Base::Fs)
    }

    fn gs_base(&self) -> u64 {
        segments::base(Base::Gs)
    }
}

/// The saved registers as words.
type Words = [u64; size_of::<GuestRegs>() / 8];

/// Which of the words each general register is, by the number instructions use.
const WORD_OF_GPR: [u8; 16] = {
    macro_rules! words {
        ($($name:ident)+) => { [$((offset_of!(GuestRegs, $name) / 8) as u8),+] };
    }
    words!(rax rcx rdx rbx rsp rbp rsi rdi r8 r9 r10 r11 r12 r13 r14 r15)
};

/// A general register by the number instructions use.
pub fn read_gpr(regs: &GuestRegs, number: u8) -> u64 {
    let words: &Words = zerocopy::transmute_ref!(regs);
    words[usize::from(WORD_OF_GPR[usize::from(number & 15)])]
}

/// Sets a general register by the number instructions use.
pub fn write_gpr(regs: &mut GuestRegs, number: u8, value: u64) {
    let words: &mut Words = zerocopy::transmute_mut!(regs);
    words[usize::from(WORD_OF_GPR[usize::from(number & 15)])] = value;
}

/// The value in edx:eax.
fn pair(regs: &GuestRegs) -> u64 {
    regs.rax & 0xffff_ffff | regs.rdx << 32
}

fn set_pair(regs: &mut GuestRegs, value: u64) {
    regs.rax = value & 0xffff_ffff;
    regs.rdx = value >> 32;
}

/// Emulates the instruction at rip; false when it is none that is emulated or it is not allowed.
pub fn emulate(here: &Here, regs: &mut GuestRegs) -> bool {
    let Ok((op, len)) = privop::decode(&fetch(regs), &View(regs)) else { return false };
    if op.needs_kernel_mode() && upcall::mode() != Mode::Kernel {
        return false;
    }
    match execute(here, regs, op) {
        Ok(()) => advance(here, regs, u64::from(len), op.is_io()),
        Err(Detour::Again) => advance(here, regs, 0, true),
        Err(Detour::Stay) => {}
        Err(Detour::Refused) => return false,
        Err(Detour::Undefined) => upcall::exception(here, regs, vector::INVALID_OPCODE, 0),
    }
    true
}

/// Goes on behind an emulated instruction; a guest that single-steps, or has a breakpoint on the
/// port that was used, gets its trap.
pub fn advance(here: &Here, regs: &mut GuestRegs, len: u64, used_port: bool) {
    regs.rip = regs.rip.wrapping_add(len);
    regs.rflags &= !RF;
    if used_port || regs.rflags & TF != 0 {
        trap_behind(here, regs);
    }
}

#[inline(never)]
fn trap_behind(here: &Here, regs: &mut GuestRegs) {
    const DR6_SINGLE_STEP: u64 = 1 << 14;
    let is_raised = {
        let debug = &mut here.vcpu().state.lock().debug;
        debug.raise(if regs.rflags & TF != 0 { DR6_SINGLE_STEP } else { 0 });
        debug.take_raised()
    };
    if is_raised {
        upcall::exception(here, regs, vector::DEBUG, 0);
    }
}

fn execute(here: &Here, regs: &mut GuestRegs, op: PrivOp) -> Emulated {
    match op {
        PrivOp::Cli | PrivOp::Sti => require(io::iopl_allows(here))?,
        PrivOp::Clts => fpu::set_ts(here, false),
        PrivOp::ReadCr(cr, gpr) => write_gpr(regs, gpr, read_cr(here, cr)?),
        PrivOp::WriteCr(cr, gpr) => write_cr(here, cr, read_gpr(regs, gpr))?,
        PrivOp::ReadDr(dr, gpr) => write_gpr(regs, gpr, debug::get(here, dr.into())?),
        PrivOp::WriteDr(dr, gpr) => debug::set(here, dr.into(), read_gpr(regs, gpr))?,
        PrivOp::Rdmsr => set_pair(regs, msr::read(here, regs.rcx as u32)?),
        PrivOp::Wrmsr => msr::write(here, regs.rcx as u32, pair(regs))?,
        PrivOp::Rdtsc => set_pair(regs, read_tsc(here)?),
        PrivOp::Rdtscp => {
            set_pair(regs, read_tsc(here)?);
            regs.rcx = msr::tsc_aux(here)?;
        }
        PrivOp::Cpuid => cpuid::execute(here, regs, Via::Fault),
        PrivOp::Xsetbv => xsetbv(here, regs.rcx as u32, pair(regs))?,
        PrivOp::Wbinvd if here.dom().has_devices.load(Ordering::Relaxed) => cpu::wbinvd(),
        PrivOp::Wbinvd => {}
        PrivOp::In(port, width) => io::input(here, regs, port, width)?,
        PrivOp::Out(port, width) => io::output(here, regs, port, width)?,
        PrivOp::Ins(string) => io::input_string(here, regs, string)?,
        PrivOp::Outs(string) => io::output_string(here, regs, string)?,
    }
    Ok(())
}

/// The bits of CR4 a guest owns after writing `value`.
pub fn guest_cr4(value: u64) -> u64 {
    value & cpuid::policy(false).offered_cr4()
}

/// CR4 as a guest that owns these bits reads it.
pub fn shown_cr4(owned: u64) -> u64 {
    cr::read_cr4(cpu::features().host_cr4, owned)
}

fn read_cr(here: &Here, number: u8) -> Emulated<u64> {
    let state = here.vcpu().state.lock();
    match number {
        0 => Ok(cr::read_cr0(cpu::host_cr0(), state.ts)),
        2 => Ok(cpuinfo::vcpu_words().cr2.load(Ordering::Relaxed)),
        3 => Ok(state.root.map_or(0, Mfn::maddr)),
        4 => Ok(shown_cr4(state.cr4)),
        _ => Err(Detour::Refused),
    }
}

fn write_cr(here: &Here, number: u8, value: u64) -> Emulated {
    match number {
        0 => {
            let shown = read_cr(here, 0)?;
            fpu::set_ts(here, cr::write_cr0(shown, value).ok_or(Detour::Refused)?);
        }
        2 => cpuinfo::vcpu_words().cr2.store(value, Ordering::Relaxed),
        3 => require(load_root(here, Mfn::from_maddr(value)))?,
        4 => {
            let owned = guest_cr4(value);
            here.vcpu().state.lock().cr4 = owned;
            cpu::set_guest_cr4(owned);
        }
        _ => return Err(Detour::Refused),
    }
    Ok(())
}

/// Reached only while the guest's own CR4.TSD makes the instruction trap.
fn read_tsc(here: &Here) -> Emulated<u64> {
    let has_tsd = here.vcpu().state.lock().cr4 & cr::CR4_TSD != 0;
    require(upcall::mode() == Mode::Kernel || !has_tsd)?;
    Ok(cpu::rdtsc())
}

fn xsetbv(here: &Here, number: u32, value: u64) -> Emulated {
    let offered = cpuid::policy(false).offered_xcr0();
    let mut state = here.vcpu().state.lock();
    let has = state.cr4 & cr::CR4_OSXSAVE != 0;
    require(cr::may_write_xcr0(number, value, offered, has))?;
    state.xcr0 = value;
    cpu::xsetbv(value);
    Ok(())
}
