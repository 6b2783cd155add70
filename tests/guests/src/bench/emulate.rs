//! Instructions of the guest kernel that the hypervisor carries out, and a few that it never sees.

use core::arch::asm;

use hypercall_abi::segment::SEGBASE_FS;
use pvkernel_xen::hypercall::{cpu, physdev};
use pvkernel_xen::{boot, mmu};

use crate::meter::{Meter, Row};

const INSTRUCTION: &str = "insn";
const EFER: u32 = 0xc000_0080;
const APIC_BASE: u32 = 0x1b;
const FS_BASE: u32 = 0xc000_0100;
const TSC: u32 = 0x10;
/// Any address for the base of a segment that is not used.
const BASE: u64 = 0x1234_5000;
const CR0_TS: u64 = 1 << 3;

/// Declares a function that reads something into a register.
macro_rules! reader {
    ($name:ident, $code:literal) => {
        #[inline(always)]
        fn $name() -> u64 {
            let value: u64;
            // SAFETY: emulated; reads a number.
            unsafe { asm!($code, out(reg) value, options(nomem, nostack)) };
            value
        }
    };
}

/// Declares a function that executes an instruction without operands.
macro_rules! plain {
    ($name:ident, $code:literal) => {
        #[inline(always)]
        fn $name() {
            // SAFETY: emulated, without effect on this program.
            unsafe { asm!($code, options(nomem, nostack)) };
        }
    };
}

reader!(cr0, "mov {}, cr0");
reader!(cr2, "mov {}, cr2");
reader!(cr3, "mov {}, cr3");
reader!(cr4, "mov {}, cr4");
reader!(dr7, "mov {}, dr7");
plain!(clts, "clts");
plain!(wbinvd, "wbinvd");
plain!(cli, "cli");
plain!(sti, "sti");
plain!(nothing, "");

/// Runs the topic.
pub fn run(m: &mut Meter) {
    native(m);
    forced_cpuid(m);
    msrs(m);
    control_registers(m);
    flags(m);
    ports(m);
}

/// A row of reads; the proof judges the last value. An instruction that were not carried out would
/// end the guest.
fn reads(
    m: &mut Meter,
    name: &'static str,
    mut read: impl FnMut() -> u64,
    is_right: impl FnOnce(u64) -> bool,
) {
    let row = Row::new(name, INSTRUCTION);
    m.cost(row, 0, |last| *last = read(), |last, _| is_right(*last));
}

/// A row of instructions whose effect, if any, the proof finds.
fn acts(m: &mut Meter, name: &'static str, mut act: impl FnMut(), is_done: impl FnOnce() -> bool) {
    m.cost(Row::new(name, INSTRUCTION), (), |()| act(), |(), _| is_done());
}

#[inline(always)]
fn rdtsc() -> u64 {
    let (low, high): (u32, u32);
    // SAFETY: reads the counter.
    unsafe { asm!("rdtsc", out("eax") low, out("edx") high, options(nomem, nostack)) };
    u64::from(low) | u64::from(high) << 32
}

/// Executes CPUID, perhaps behind the prefix that has it emulated; returns eax of leaf 1.
macro_rules! cpuid {
    ($($prefix:literal)?) => {{
        let eax: u64;
        // SAFETY: changes the registers it is said to; rbx is put back.
        unsafe {
            asm!("mov {0}, rbx", $($prefix,)? "cpuid", "mov rbx, {0}", out(reg) _,
                inout("rax") 1u64 => eax, out("rcx") _, out("rdx") _, options(nomem, nostack));
        }
        eax
    }};
}

/// What the processor does by itself, and the loop around it.
fn native(m: &mut Meter) {
    m.cost(Row::new("insn_loop_empty", "iteration"), (), |()| nothing(), |(), made| made > 0);
    reads(m, "insn_rdtsc", rdtsc, |last| last != 0);
    reads(m, "insn_cpuid_native", || cpuid!(), |last| last != 0);
}

fn forced_cpuid(m: &mut Meter) {
    reads(m, "emul_fep_cpuid", || cpuid!(".byte 0x0f, 0x0b, 0x78, 0x65, 0x6e"), |last| last != 0);
}

#[inline(always)]
fn rdmsr(number: u32) -> u64 {
    let (low, high): (u32, u32);
    // SAFETY: emulated; reads a number.
    unsafe {
        asm!("rdmsr", in("ecx") number, out("eax") low, out("edx") high, options(nomem, nostack));
    }
    u64::from(low) | u64::from(high) << 32
}

#[inline(always)]
fn wrmsr(number: u32, value: u64) {
    // SAFETY: the caller picks a register this program does not depend on.
    unsafe {
        asm!("wrmsr", in("ecx") number, in("eax") value as u32, in("edx") (value >> 32) as u32,
            options(nomem, nostack));
    }
}

fn set_fs_base(base: u64) {
    // SAFETY: the kernel does not use the segment.
    let set = unsafe { cpu::set_segment_base(SEGBASE_FS, base) };
    assert_eq!(set, Ok(()), "the base is canonical");
}

fn msrs(m: &mut Meter) {
    // Long mode is active.
    reads(m, "emul_rdmsr_efer", || rdmsr(EFER), |last| last & 1 << 10 != 0);
    reads(m, "emul_rdmsr_apic_base", || rdmsr(APIC_BASE), |last| last != 0);
    set_fs_base(BASE);
    reads(m, "emul_rdmsr_fs_base", || rdmsr(FS_BASE), |last| last == BASE);
    reads(m, "emul_rdmsr_tsc", || rdmsr(TSC), |last| last != 0 && last <= rdtsc());
    acts(m, "emul_wrmsr_fs_base", || wrmsr(FS_BASE, 2 * BASE), || rdmsr(FS_BASE) == 2 * BASE);
    set_fs_base(0);
}

fn control_registers(m: &mut Meter) {
    // Paging is on.
    reads(m, "emul_mov_from_cr0", cr0, |last| last & 1 << 31 != 0);
    // SAFETY: emulated; sets what the next line reads.
    unsafe { asm!("mov cr2, {}", in(reg) BASE, options(nomem, nostack)) };
    reads(m, "emul_mov_from_cr2", cr2, |last| last == BASE);
    let root = mmu::root().maddr();
    reads(m, "emul_mov_from_cr3", cr3, |last| last == root);
    // PAE is on.
    reads(m, "emul_mov_from_cr4", cr4, |last| last & 1 << 5 != 0);
    acts(
        m,
        "emul_mov_to_cr3_same",
        // SAFETY: emulated; loads the table that is loaded.
        || unsafe { asm!("mov cr3, {}", in(reg) root, options(nostack)) },
        || cr3() == root,
    );
    reads(m, "emul_mov_from_dr7", dr7, |last| last == 0x400);
}

fn flags(m: &mut Meter) {
    let _ = cpu::fpu_taskswitch(true);
    acts(m, "emul_clts", clts, || cr0() & CR0_TS == 0);
    let _ = cpu::fpu_taskswitch(false);
    acts(m, "emul_wbinvd", wbinvd, || true);
    let _ = physdev::set_iopl(1);
    acts(m, "emul_cli", cli, || true);
    acts(m, "emul_sti", sti, || true);
    let _ = physdev::set_iopl(0);
}

/// What is read where nothing is connected.
const FLOATING: u64 = 0xff;

#[inline(always)]
fn read_port() -> u64 {
    let value: u8;
    // SAFETY: nothing is connected to the port.
    unsafe { asm!("in al, 0x80", out("al") value, options(nomem, nostack)) };
    value.into()
}

/// A port that only a control domain reaches, and where nothing is connected.
fn ports(m: &mut Meter) {
    let rows = ["emul_in_0x80", "emul_out_0x80"].map(|name| Row::new(name, INSTRUCTION));
    if !boot::info().is_dom0 {
        return rows.into_iter().for_each(|row| m.absent(row, "ports are the control domain's"));
    }
    let _ = physdev::set_iopl(1);
    reads(m, "emul_in_0x80", read_port, |last| last == FLOATING);
    acts(
        m,
        "emul_out_0x80",
        // SAFETY: as above.
        || unsafe { asm!("out 0x80, al", in("al") 0u8, options(nomem, nostack)) },
        || read_port() == FLOATING,
    );
    let _ = physdev::set_iopl(0);
}
