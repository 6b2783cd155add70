//! User mode: its own address space, system calls, faults, and what it may not do.

use crate::harness::{command, hypercall, Report};
use crate::pages::Page;
use crate::usermode::{Exit, Space, CODE, DATA, READ_ONLY};
use hypercall_abi::callback::{self, CallbackRegister};
use hypercall_abi::physdev::{self, PhysdevSetIobitmap};
use hypercall_abi::regs::{IretContext, VGCF_IN_SYSCALL};
use hypercall_abi::segment::{SEGBASE_GS_KERNEL, SEGBASE_GS_USER};
use hypercall_abi::{nr, Errno, GuestVa};
use pvkernel_xen::layout::DIRECT_BASE;
use pvkernel_xen::trap::SYSCALL;

/// Small programs, 16 bytes apart; rdi is the argument.
const PROGRAMS: &[(Program, &[u8])] = &[
    // mov eax, 17; syscall
    (Program::Syscall, &[0xb8, 17, 0, 0, 0, 0x0f, 0x05]),
    // mov rax, [rdi]; syscall
    (Program::Load, &[0x48, 0x8b, 0x07, 0x0f, 0x05]),
    // mov [rdi], rax; syscall
    (Program::Store, &[0x48, 0x89, 0x07, 0x0f, 0x05]),
    // ud2
    (Program::Undefined, &[0x0f, 0x0b]),
    // int3
    (Program::Breakpoint, &[0xcc]),
    // hlt
    (Program::Halt, &[0xf4]),
    // mov rax, cr0
    (Program::ReadCr0, &[0x0f, 0x20, 0xc0]),
    // mov ecx, 0xc0000080; rdmsr
    (Program::ReadMsr, &[0xb9, 0x80, 0, 0, 0xc0, 0x0f, 0x32]),
    // cli
    (Program::Cli, &[0xfa]),
    // mov dx, 0x80; in al, dx
    (Program::In, &[0x66, 0xba, 0x80, 0, 0xec]),
    // mov rax, gs:[0]; syscall
    (Program::LoadGs, &[0x65, 0x48, 0x8b, 0x04, 0x25, 0, 0, 0, 0, 0x0f, 0x05]),
    // jmp rdi
    (Program::Jump, &[0xff, 0xe7]),
    // mov eax, 0x40000000; forced cpuid; syscall
    (Program::Cpuid, &[0xb8, 0, 0, 0, 0x40, 0x0f, 0x0b, b'x', b'e', b'n', 0x0f, 0xa2, 0x0f, 0x05]),
    // pushfq; pop rax; syscall
    (Program::Flags, &[0x9c, 0x58, 0x0f, 0x05]),
    // int 0x80
    (Program::Int80, &[0xcd, 0x80]),
    // mov edx, edi; xor eax, eax; in al, dx; syscall
    (Program::InPort, &[0x89, 0xfa, 0x31, 0xc0, 0xec, 0x0f, 0x05]),
    // pushfq; or dword [rsp], 0x100; popfq; nop; nop
    (Program::Step, &[0x9c, 0x81, 0x0c, 0x24, 0, 1, 0, 0, 0x9d, 0x90, 0x90]),
];

#[derive(Clone, Copy, PartialEq)]
enum Program {
    Syscall,
    Load,
    Store,
    Undefined,
    Breakpoint,
    Halt,
    ReadCr0,
    ReadMsr,
    Cli,
    In,
    LoadGs,
    Jump,
    Cpuid,
    Flags,
    Int80,
    InPort,
    Step,
}

fn offset(program: Program) -> u64 {
    PROGRAMS.iter().position(|(p, _)| *p == program).map_or(0, |at| 16 * at as u64)
}

fn code() -> alloc::vec::Vec<u8> {
    let mut code = alloc::vec![0x90; 16 * PROGRAMS.len()];
    for (at, (_, bytes)) in PROGRAMS.iter().enumerate() {
        code[16 * at..16 * at + bytes.len()].copy_from_slice(bytes);
    }
    code
}

fn trap(exit: &Exit) -> (u64, u64) {
    (exit.frame.vector, exit.frame.error)
}

/// Runs the topic.
pub fn run(t: &mut Report) {
    let space = Space::new(&code());
    syscalls(t, &space);
    faults(t, &space);
    refused(t, &space);
    bases(t, &space);
    frames(t, &space);
    ports(t, &space);
    entry_masks(t, &space);
    tables(t, &space);
    drop(space);
}

fn syscalls(t: &mut Report, space: &Space) {
    let exit = space.run(offset(Program::Syscall), 5);
    let frame = exit.frame;
    t.eq("syscall-arrives", SYSCALL, frame.vector);
    t.eq("syscall-registers", (17, 5), (frame.rax, frame.rdi));
    let rip = CODE + offset(Program::Syscall) + 7;
    t.eq("syscall-rip", rip, frame.rip);
    t.eq("syscall-rcx-is-rip", rip, frame.rcx);
    t.eq("syscall-r11-is-flags", frame.rflags, frame.r11);
    t.eq("syscall-selectors", (0xe033, 0xe02b), (frame.cs & 0xffff, frame.ss));
    t.eq("syscall-stack", DATA + 0x1000, frame.rsp);
    t.eq("syscall-mask-was-open", 0, frame.cs >> 32 & 0xff);
    let fast = IretContext { flags: VGCF_IN_SYSCALL, ..Space::frame(offset(Program::Syscall)) };
    t.eq("enter-by-sysret", SYSCALL, space.run_frame(&fast, 0).frame.vector);
    let masked = IretContext { rflags: 2, ..Space::frame(offset(Program::Syscall)) };
    let exit = space.run_frame(&masked, 0);
    t.eq("masked-user-mode-saved-mask", 1, exit.frame.cs >> 32 & 0xff);
    let flags = space.run(offset(Program::Flags), 0).frame.rax;
    t.eq("flags-in-user-mode", 0x200, flags & 0x3200);
}

fn faults(t: &mut Report, space: &Space) {
    let exit = space.run(offset(Program::Load), DATA);
    t.eq("load-own-data", SYSCALL, exit.frame.vector);
    let exit = space.run(offset(Program::Load), 0x1000);
    t.eq("load-unmapped", ((14, 4), 0x1000), (trap(&exit), exit.cr2));
    let exit = space.run(offset(Program::Store), 0x1000);
    t.eq("store-unmapped", (14, 6), trap(&exit));
    let exit = space.run(offset(Program::Store), READ_ONLY);
    t.eq("store-read-only", ((14, 7), READ_ONLY), (trap(&exit), exit.cr2));
    let exit = space.run(offset(Program::Load), DIRECT_BASE);
    t.eq("load-kernel", ((14, 4), DIRECT_BASE), (trap(&exit), exit.cr2));
    let exit = space.run(offset(Program::Jump), 0x5000);
    t.eq("jump-unmapped", ((14, 0x14), 0x5000), (trap(&exit), exit.frame.rip));
    let exit = space.run(offset(Program::Undefined), 0);
    t.eq("undefined", (6, 0), trap(&exit));
    t.eq("undefined-frame", (0xe033, 0xe02b), (exit.frame.cs & 0xffff, exit.frame.ss & 0xffff));
    let exit = space.run(offset(Program::Breakpoint), 0);
    t.eq("breakpoint", (3, 0), trap(&exit));
    let exit = space.run(offset(Program::Load), 0xffff_8300_0000_0000);
    t.eq("load-hole", (14, 4), (exit.frame.vector, exit.frame.error & 4));
    let exit = space.run(offset(Program::Load), 1 << 63);
    t.eq("load-not-canonical", (13, 0), trap(&exit));
}

fn refused(t: &mut Report, space: &Space) {
    for (name, program) in [
        ("hlt", Program::Halt),
        ("read-cr0", Program::ReadCr0),
        ("rdmsr", Program::ReadMsr),
        ("cli", Program::Cli),
        ("in", Program::In),
    ] {
        t.eq(name, (13, 0), trap(&space.run(offset(program), 0)));
    }
    t.eq("int-80", (13, 0x402), trap(&space.run(offset(Program::Int80), 0)));
    let exit = space.run(offset(Program::Cpuid), 0);
    t.eq("forced-cpuid", (SYSCALL, 0x4000_0005), (exit.frame.vector, exit.frame.rax));
}

/// GS has one base in the kernel and another in user mode.
fn bases(t: &mut Report, space: &Space) {
    space.data.write(0, 0x1111);
    space.data.write(1, 0x2222);
    let set = |which: u32, base: u64| hypercall(nr::SET_SEGMENT_BASE, &[u64::from(which), base]);
    t.ret("gs-user", 0, set(SEGBASE_GS_USER, DATA + 8));
    t.ret("gs-kernel", 0, set(SEGBASE_GS_KERNEL, DATA));
    let exit = space.run(offset(Program::LoadGs), 0);
    t.eq("gs-in-user-mode", (SYSCALL, 0x2222), (exit.frame.vector, exit.frame.rax));
    t.ret("gs-user-clear", 0, set(SEGBASE_GS_USER, 0));
    t.ret("gs-kernel-clear", 0, set(SEGBASE_GS_KERNEL, 0));
}

fn frames(t: &mut Report, space: &Space) {
    let bad = |frame: IretContext| trap(&space.run_frame(&frame, 0));
    let at = Space::frame(offset(Program::Syscall));
    t.eq("enter-cs-empty", (13, 0x1230), bad(IretContext { cs: 0x1233, ..at }));
    t.eq("enter-ss-empty", (13, 0x1230), bad(IretContext { ss: 0x1233, ..at }));
    let not_canonical = IretContext { rip: 0x8000_0000_0000, ..at };
    t.eq("enter-rip-not-canonical", (13, 0), bad(not_canonical));
    let iopl = IretContext { rflags: 0x3202, ..Space::frame(offset(Program::Flags)) };
    t.eq("enter-iopl-is-dropped", 0x200, space.run_frame(&iopl, 0).frame.rax & 0x3200);
}

/// The bitmap opens ports to user mode; the hypervisor's own stay out of reach.
fn ports(t: &mut Report, space: &Space) {
    let bitmap = Page::new();
    let set = |nr_ports: u32, at: u64| {
        let bitmap = GuestVa::new(at);
        let mut arg = PhysdevSetIobitmap { bitmap, nr_ports, ..Default::default() };
        command(nr::PHYSDEV_OP, physdev::SET_IOBITMAP, &mut arg)
    };
    let read = |port: u64| {
        let exit = space.run(offset(Program::InPort), port);
        (exit.frame.vector, exit.frame.error, exit.frame.rax)
    };
    t.ret("bitmap", 0, set(64, bitmap.va));
    t.eq("bitmap-open-port", (SYSCALL, 0, 0xff), read(0x20));
    t.eq("bitmap-port-beyond", 13, read(0x41).0);
    bitmap.write(0, 1 << 0x21);
    t.eq("bitmap-closed-port", 13, read(0x21).0);
    t.eq("bitmap-other-port-open", (SYSCALL, 0, 0xff), read(0x20));
    t.ret("bitmap-unmapped", 0, set(64, crate::harness::UNMAPPED));
    t.eq("bitmap-unmapped-closes", 13, read(0x20).0);
    t.ret("bitmap-none", 0, set(0, 0));
    t.eq("bitmap-gone", 13, read(0x20).0);
}

/// Whether entries from user mode mask events is chosen when they are registered.
fn entry_masks(t: &mut Report, space: &Space) {
    let register = |flags: u16| {
        let address = pvkernel_xen::trap::syscall_entry();
        let mut arg = CallbackRegister {
            kind: callback::kind::SYSCALL,
            flags,
            address,
            ..Default::default()
        };
        command(nr::CALLBACK_OP, callback::REGISTER, &mut arg)
    };
    t.ret("syscall-without-mask", 0, register(0));
    t.check("syscall-leaves-mask", space.run(offset(Program::Syscall), 0).mask == 0);
    t.ret("syscall-with-mask", 0, register(callback::MASK_EVENTS));
    t.check("syscall-masks", space.run(offset(Program::Syscall), 0).mask == 1);
    t.check("exception-masks", space.run(offset(Program::Undefined), 0).mask == 1);
    t.eq("single-step", (1, 0), trap(&space.run(offset(Program::Step), 0)));
}

/// The user root is a page table as long as it is installed.
fn tables(t: &mut Report, space: &Space) {
    for (at, table) in space.tables.iter().enumerate() {
        let name = alloc::format!("user-l{}-is-a-table", 4 - at);
        t.eq(&name, Err(Errno::EBUSY), table.unseal());
    }
}
