//! Privileged instructions in a guest kernel: emulated, ignored, or refused.

use core::arch::asm;

use crate::harness::Report;
use crate::probe::{catch, fault_of};
use hypercall_abi::Errno;
use pvkernel_xen::hypercall::{cpu, physdev};
use pvkernel_xen::mmu;

/// A refused privileged instruction.
const GP: Result<u64, (u64, u64)> = Err((13, 0));
const MARK: u64 = 0x77;

/// Declares a function that executes instructions; its argument is in rax, its result too.
macro_rules! instruction {
    ($name:ident, $($code:literal),+) => {
        extern "C" fn $name(argument: u64) -> u64 {
            let result: u64;
            // SAFETY: emulated without effect on this program, or a fault that the probe catches.
            unsafe {
                asm!($($code),+, inout("rax") argument => result, out("rcx") _, out("rdx") _);
            }
            result
        }
    };
}

instruction!(read_cr0, "mov rax, cr0");
instruction!(write_cr0, "mov cr0, rax");
instruction!(read_cr2, "mov rax, cr2");
instruction!(write_cr2, "mov cr2, rax");
instruction!(read_cr3, "mov rax, cr3");
instruction!(write_cr3, "mov cr3, rax");
instruction!(read_cr4, "mov rax, cr4");
instruction!(write_cr4, "mov cr4, rax");
instruction!(read_cr8, "mov rax, cr8");
instruction!(write_cr8, "mov cr8, rax");
instruction!(clts, "clts");
instruction!(cli, "cli");
instruction!(sti, "sti");
instruction!(hlt, "hlt");
instruction!(wbinvd, "wbinvd");
instruction!(invd, "invd");
instruction!(invlpg, "invlpg [rax]");
instruction!(swapgs, "swapgs");
instruction!(lgdt, "lgdt [rax]");
instruction!(lidt, "lidt [rax]");
instruction!(lldt, "lldt ax");
instruction!(ltr, "ltr ax");
instruction!(lmsw, "lmsw ax");
instruction!(rdpmc, "mov ecx, eax", "rdpmc");
instruction!(xsetbv_1, "mov ecx, 1", "xor edx, edx", "xsetbv");
instruction!(xsetbv, "xor ecx, ecx", "xor edx, edx", "xsetbv");
instruction!(xgetbv, "xor ecx, ecx", "xgetbv");
instruction!(read_fs_base, "rdfsbase rax");
instruction!(write_fs_base, "wrfsbase rax");
instruction!(sysretq, "sysretq");
instruction!(rdtsc, "rdtsc");
instruction!(in_byte, "mov edx, eax", "xor eax, eax", "in al, dx");
instruction!(in_dword, "mov edx, eax", "xor eax, eax", "in eax, dx");
instruction!(out_byte, "mov edx, eax", "xor eax, eax", "out dx, al");
instruction!(pushf, "pushfq", "pop rax");
instruction!(popf, "push rax", "popfq", "pushfq", "pop rax");

/// Runs the topic.
pub fn run(t: &mut Report) {
    control_registers(t);
    cr4(t);
    refused(t);
    harmless(t);
    extended_state(t);
    segment_instructions(t);
    ports(t);
}

fn control_registers(t: &mut Report) {
    let cr0 = fault_of(read_cr0, 0).unwrap_or(0);
    // PG, WP, NE, ET, MP and PE as the hardware has them, TS clear.
    t.eq("cr0", 0x8001_0033, cr0 & 0x8001_003f & !4 | cr0 & 8);
    t.eq("cr0-write-same", Ok(cr0), fault_of(write_cr0, cr0));
    t.eq("cr0-set-ts", Ok(cr0 | 8), fault_of(write_cr0, cr0 | 8));
    t.eq("cr0-ts-shows", Ok(cr0 | 8), fault_of(read_cr0, 0));
    t.eq("clts", Ok(MARK), fault_of(clts, MARK));
    t.eq("clts-clears-ts", Ok(cr0), fault_of(read_cr0, 0));
    t.eq("cr0-change-other-bit", GP, fault_of(write_cr0, cr0 ^ 1 << 16));
    t.eq("cr2-write", Ok(0x4321_0000), fault_of(write_cr2, 0x4321_0000));
    t.eq("cr2-read", Ok(0x4321_0000), fault_of(read_cr2, 0));
    t.eq("cr2-is-in-vcpu-info", 0x4321_0000, pvkernel_xen::event::fault_address());
    t.eq("cr3", Ok(mmu::root().maddr()), fault_of(read_cr3, 0));
    t.eq("cr3-write-same", Ok(mmu::root().maddr()), fault_of(write_cr3, mmu::root().maddr()));
    t.eq("cr3-write-bad", GP, fault_of(write_cr3, 0));
    t.eq("cr8-read", GP, fault_of(read_cr8, 0));
    t.eq("cr8-write", GP, fault_of(write_cr8, 0));
}

fn cr4(t: &mut Report) {
    let cr4 = fault_of(read_cr4, 0).unwrap_or(0);
    t.eq("cr4-shown-bits", 0x660, cr4 & 0x660);
    // PVI, VME, PSE, PGE, VMXE, PCIDE, SMEP, SMAP, PKE, CET, UMIP.
    t.eq("cr4-hidden-bits", 0, cr4 & 0xf2_2893);
    t.eq("cr4-write-same", Ok(cr4), fault_of(write_cr4, cr4));
    let ignored = fault_of(write_cr4, cr4 | 0x10 | 0x80);
    t.eq("cr4-write-others-is-ignored", Ok(cr4 | 0x90), ignored);
    t.eq("cr4-unchanged", Ok(cr4), fault_of(read_cr4, 0));
    t.eq("cr4-set-de", Ok(cr4 | 8), fault_of(write_cr4, cr4 | 8));
    t.eq("cr4-de-shows", Ok(cr4 | 8), fault_of(read_cr4, 0));
    t.eq("dr4-with-de", Err(Errno::ENODEV), cpu::get_debugreg(4));
    t.eq("cr4-clear-de", Ok(cr4), fault_of(write_cr4, cr4));
    t.eq("cr4-set-tsd", Ok(cr4 | 4), fault_of(write_cr4, cr4 | 4));
    t.check("rdtsc-with-tsd-in-kernel", fault_of(rdtsc, 0).is_ok());
    t.eq("cr4-clear-tsd", Ok(cr4), fault_of(write_cr4, cr4));
}

fn refused(t: &mut Report) {
    let operand = [0u64; 2];
    let memory = core::ptr::from_ref(&operand) as u64;
    for (name, function, argument) in [
        ("hlt", hlt as extern "C" fn(u64) -> u64, 0),
        ("invd", invd, 0),
        ("invlpg", invlpg, 0),
        ("swapgs", swapgs, 0),
        ("lgdt", lgdt, memory),
        ("lidt", lidt, memory),
        ("lldt", lldt, 0),
        ("ltr", ltr, 0),
        ("lmsw", lmsw, 0),
        ("rdpmc", rdpmc, 0),
        ("sysretq", sysretq, 0),
    ] {
        t.eq(name, GP, fault_of(function, argument));
    }
    let other = fault_of(xsetbv_1, 0);
    t.check("xsetbv-other-register", other == GP || other == Err((6, 0)));
}

/// Interrupts cannot be switched off with the flag: the event mask is what counts.
fn harmless(t: &mut Report) {
    let level = physdev::set_iopl(1);
    t.eq("set-iopl", Ok(()), level);
    t.eq("cli", Ok(MARK), fault_of(cli, MARK));
    t.eq("cli-keeps-flag", Ok(0x200), fault_of(pushf, 0).map(|flags| flags & 0x200));
    t.eq("sti", Ok(MARK), fault_of(sti, MARK));
    t.eq("popf-cannot-clear-flag", Ok(0x202), fault_of(popf, 2).map(|flags| flags & 0xfff));
    t.eq("popf-cannot-set-iopl", Ok(0), fault_of(popf, 0x3202).map(|flags| flags & 0x3000));
    t.eq("wbinvd", Ok(MARK), fault_of(wbinvd, MARK));
    let _ = physdev::set_iopl(0);
    t.eq("cli-without-iopl", GP, fault_of(cli, 0));
}

/// XCR0 can be read and changed once CR4 says so.
fn extended_state(t: &mut Report) {
    let cr4 = fault_of(read_cr4, 0).unwrap_or(0);
    t.eq("osxsave-set", Ok(cr4 | 1 << 18), fault_of(write_cr4, cr4 | 1 << 18));
    let xcr0 = fault_of(xgetbv, 0).unwrap_or(0);
    t.eq("xcr0-initial", 3, xcr0 & 3);
    t.eq("xcr0-write-same", Ok(xcr0), fault_of(xsetbv, xcr0));
    t.eq("xcr0-without-x87", GP, fault_of(xsetbv, 2));
    t.eq("xcr0-avx-without-sse", GP, fault_of(xsetbv, 5));
    t.eq("xcr0-reserved", GP, fault_of(xsetbv, 3 | 1 << 30));
    t.eq("xcr0-kept", Ok(xcr0), fault_of(xgetbv, 0));
    t.eq("osxsave-clear", Ok(cr4), fault_of(write_cr4, cr4));
}

fn segment_instructions(t: &mut Report) {
    let cr4 = fault_of(read_cr4, 0).unwrap_or(0);
    t.eq("fsgsbase-set", Ok(cr4 | 1 << 16), fault_of(write_cr4, cr4 | 1 << 16));
    t.eq("wrfsbase", Ok(0x1234_5000), fault_of(write_fs_base, 0x1234_5000));
    t.eq("rdfsbase", Ok(0x1234_5000), fault_of(read_fs_base, 0));
    t.eq("wrfsbase-clear", Ok(0), fault_of(write_fs_base, 0));
    t.eq("fsgsbase-clear", Ok(cr4), fault_of(write_cr4, cr4 & !(1 << 16)).map(|_| cr4));
    let _ = fault_of(write_cr4, cr4);
}

fn ports(t: &mut Report) {
    t.eq("in-without-iopl", GP, fault_of(in_byte, 0x80));
    t.eq("out-without-iopl", GP, fault_of(out_byte, 0x80));
    t.eq("iopl", Ok(()), physdev::set_iopl(1));
    t.check("out-delay-port", catch(out_byte, 0x80).is_ok());
    // The interrupt controllers are the hypervisor's: reads give ones, writes go nowhere.
    t.eq("in-pic", Ok(0xff), fault_of(in_byte, 0x20));
    t.eq("out-pic", Ok(0), fault_of(out_byte, 0x20));
    port_breakpoint(t);
    if !t.is_dom0 {
        t.eq("in-serial", Ok(0xff), fault_of(in_byte, 0x3f8));
        t.eq("in-dword", Ok(0xffff_ffff), fault_of(in_dword, 0x1000));
    }
    t.eq("iopl-restore", Ok(()), physdev::set_iopl(0));
}

/// A breakpoint on a port, which the hypervisor has to play: the processor does not have it.
fn port_breakpoint(t: &mut Report) {
    let cr4 = fault_of(read_cr4, 0).unwrap_or(0);
    t.eq("port-breakpoint-de", Ok(cr4 | 8), fault_of(write_cr4, cr4 | 8));
    t.eq("port-breakpoint-address", Ok(()), cpu::set_debugreg(1, 0x82));
    // Local enable of breakpoint 1, on accesses to two ports.
    t.eq("port-breakpoint-enable", Ok(()), cpu::set_debugreg(7, 1 << 2 | 0b0110 << 20));
    t.eq("port-breakpoint-traps", Err((1, 0)), fault_of(in_byte, 0x83));
    t.eq("port-breakpoint-dr6", Ok(0xffff_0ff2), cpu::get_debugreg(6));
    t.eq("port-breakpoint-spans", Err((1, 0)), fault_of(in_dword, 0x80));
    t.check("port-breakpoint-other-port", catch(in_byte, 0x81).is_ok());
    t.eq("port-breakpoint-disable", Ok(()), cpu::set_debugreg(7, 0));
    t.check("port-breakpoint-is-off", catch(in_byte, 0x83).is_ok());
    t.eq("port-breakpoint-dr6-clear", Ok(()), cpu::set_debugreg(6, 0));
    t.eq("port-breakpoint-address-clear", Ok(()), cpu::set_debugreg(1, 0));
    t.eq("port-breakpoint-no-de", Ok(cr4), fault_of(write_cr4, cr4));
}
