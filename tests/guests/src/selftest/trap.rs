//! Exceptions: vectors, error codes, addresses, and the exact frame that is pushed.

use core::arch::asm;

use crate::harness::{address, hypercall, Report, IN_HOLE, NOT_CANONICAL, UNMAPPED};
use crate::pages::Page;
use crate::probe::{catch, fault_of, raw_frame};
use hypercall_abi::mmu::pte;
use hypercall_abi::regs::TrapInfo;
use hypercall_abi::{nr, Errno};
use pvkernel_xen::event;
use pvkernel_xen::mmu::{self, KERNEL_RO};

/// Declares a function that executes instructions; its argument is in rax, its result too.
macro_rules! instruction {
    ($name:ident, $($code:literal),+) => {
        /// See the macro.
        pub extern "C" fn $name(argument: u64) -> u64 {
            let result: u64;
            // SAFETY: the instructions fault, which the probe catches, or have no effect.
            unsafe {
                asm!($($code),+, inout("rax") argument => result, out("rcx") _, out("rdx") _, out("r11") _);
            }
            result
        }
    };
}

instruction!(divide, "xor edx, edx", "xor ecx, ecx", "div ecx");
instruction!(step, "pushfq", "or dword ptr [rsp], 0x100", "popfq", "nop", "nop");
instruction!(breakpoint, "int3");
instruction!(undefined, "ud2");
instruction!(bad_opcode, ".byte 0x06");
instruction!(int_80, "int 0x80");
instruction!(load, "mov rax, [rax]");
instruction!(store, "mov [rax], rax");
instruction!(call, "call rax");
instruction!(load_ds, "mov ds, eax");
instruction!(load_ss, "mov ss, eax");
instruction!(load_fs, "mov fs, eax", "xor eax, eax", "mov fs, eax");

/// Runs the topic.
pub fn run(t: &mut Report) {
    plain(t);
    addresses(t);
    selectors(t);
    frames(t);
    tables(t);
}

fn plain(t: &mut Report) {
    t.eq("divide", Err((0, 0)), fault_of(divide, 1));
    t.eq("single-step", Err((1, 0)), fault_of(step, 0));
    t.eq("breakpoint", Err((3, 0)), fault_of(breakpoint, 0));
    t.eq("undefined", Err((6, 0)), fault_of(undefined, 0));
    t.eq("bad-opcode", Err((6, 0)), fault_of(bad_opcode, 0));
    // Instructions at which the saved address lies behind (traps) or before (faults).
    let int3 = catch(breakpoint, 0).map_err(|f| code_byte(f.rip - 1));
    t.eq("breakpoint-rip-is-behind", Err(0xcc), int3);
    let ud2 = catch(undefined, 0).map_err(|f| code_byte(f.rip));
    t.eq("undefined-rip-is-at", Err(0x0f), ud2);
}

fn code_byte(rip: u64) -> u8 {
    let at = core::ptr::with_exposed_provenance::<u8>(rip as usize);
    // SAFETY: code of this kernel is readable.
    unsafe { at.read() }
}

fn addresses(t: &mut Report) {
    t.eq("read-unmapped", Err((14, 0)), fault_of(load, UNMAPPED));
    t.eq("write-unmapped", Err((14, 2)), fault_of(store, UNMAPPED));
    t.eq("execute-unmapped", Err((14, 0x10)), fault_of(call, UNMAPPED));
    let cr2 = catch(load, UNMAPPED + 0x123).map_err(|fault| fault.cr2);
    t.eq("fault-address", Err(UNMAPPED + 0x123), cr2);
    let page = Page::new();
    page.seal();
    t.eq("write-read-only", Err((14, 3)), fault_of(store, page.va));
    t.eq("write-root-table", Err((14, 3)), fault_of(store, root_va()));
    // SAFETY: the page belongs to the test; `seal` below and drop restore its entry.
    let nx = unsafe { mmu::set_direct(page.pfn, page.entry(KERNEL_RO | pte::NX)) };
    t.eq("no-execute-map", Ok(()), nx);
    t.eq("execute-no-execute", Err((14, 0x11)), fault_of(call, page.va));
    page.seal();
    t.eq("read-not-canonical", Err((13, 0)), fault_of(load, NOT_CANONICAL));
    t.eq("jump-not-canonical", Err((13, 0)), fault_of(call, NOT_CANONICAL));
    let hole = catch(load, IN_HOLE).map_err(|fault| (fault.vector, fault.cr2, fault.error & 4));
    t.eq("read-hole", Err((14, IN_HOLE, 0)), hole);
    t.check("read-m2p", catch(load, 0xffff_8000_0000_0000).is_ok());
    let m2p = fault_of(store, 0xffff_8000_0000_0000);
    t.eq("write-m2p", Err((14, 3)), m2p);
}

/// Address of the root table.
fn root_va() -> u64 {
    pvkernel_xen::boot::info().start_info.pt_base
}

fn selectors(t: &mut Report) {
    t.eq("load-null-selector", Ok(0), fault_of(load_ds, 0));
    t.eq("load-data-selector", Ok(0), fault_of(load_fs, 0xe02b));
    t.eq("load-hypervisor-data", Err((13, 0xe010)), fault_of(load_ds, 0xe010));
    t.eq("load-hypervisor-code", Err((13, 0xe008)), fault_of(load_ds, 0xe008));
    t.eq("load-empty-descriptor", Err((13, 0x1230)), fault_of(load_ds, 0x1233));
    t.eq("load-beyond-limit", Err((13, 0xfff8)), fault_of(load_ds, 0xfffb));
    t.eq("load-stack-null", Err((13, 0)), fault_of(load_ss, 3));
    t.eq("load-stack-code", Err((13, 0xe030)), fault_of(load_ss, 0xe033));
    // Through the local table, which is empty.
    t.eq("load-local", Err((13, 0x0c)), fault_of(load_ds, 0x0f));
}

extern "C" fn known_registers(misalign: u64) -> u64 {
    // SAFETY: the raw stub recovers the stack pointer that the probe saved.
    unsafe {
        asm!(
            "and rsp, -16", "sub rsp, rdi", "mov rbx, rsp",
            "mov rcx, 0x1111", "mov r11, 0x2222",
            "ud2",
            in("rdi") misalign, options(noreturn)
        )
    }
}

/// The frame of an exception without error code, on stacks of every alignment.
fn frames(t: &mut Report) {
    event::mask_upcalls();
    for misalign in [0, 8, 1, 15] {
        let (sp, words) = raw_frame(6, 0, known_registers, misalign);
        let named = |what: &str| alloc::format!("frame-{misalign}-{what}");
        t.eq(&named("alignment"), 8, sp % 16);
        t.eq(&named("rcx-r11"), [0x1111, 0x2222], [words[0], words[1]]);
        t.eq(&named("code"), 0x0f, code_byte(words[2]));
        t.eq(&named("cs"), 0xe030, words[3] & 0xffff);
        t.eq(&named("saved-mask"), 1, words[3] >> 32 & 0xff);
        t.eq(&named("flags-iopl-if"), 0, words[4] & 0x3200);
        // Aligned down, the stack pointer before the exception is the end of the frame.
        t.eq(&named("sp"), (sp + 56, (16 - misalign) % 16), (words[5] & !15, words[5] % 16));
        t.eq(&named("ss"), 0xe02b, words[6] & 0xffff);
    }
    event::enable_upcalls();
    let (_, words) = raw_frame(6, TrapInfo::FLAG_MASK_EVENTS, known_registers, 0);
    t.eq("frame-open-saved-mask", 0, words[3] >> 32 & 0xff);
    t.eq("frame-open-flag-if", 0x200, words[4] & 0x200);
    t.check("frame-masks-when-asked", !event::mask_upcalls());
    event::enable_upcalls();
    let (_, _) = raw_frame(6, 0, known_registers, 0);
    t.check("frame-keeps-mask-otherwise", event::mask_upcalls());
    event::enable_upcalls();
    let (sp, words) = raw_frame(14, 0, load, UNMAPPED);
    t.eq("frame-with-error-alignment", 0, sp % 16);
    t.eq("frame-with-error-code", 0, words[2]);
    t.eq("frame-with-error-cs", 0xe030, words[4] & 0xffff);
}

fn tables(t: &mut Report) {
    let mut bad = [TrapInfo::new(20, 0, 0, NOT_CANONICAL), TrapInfo::default()];
    let ret = hypercall(nr::SET_TRAP_TABLE, &[address(&mut bad)]);
    t.errno("table-not-canonical", Errno::EINVAL, ret);
    let mut empty = [TrapInfo::default()];
    t.ret("table-empty", 0, hypercall(nr::SET_TRAP_TABLE, &[address(&mut empty)]));
    t.eq("table-still-works", Err((6, 0)), fault_of(undefined, 0));
    t.ret("table-clear", 0, hypercall(nr::SET_TRAP_TABLE, &[0]));
    pvkernel_xen::trap::install();
    t.eq("table-works-again", Err((6, 0)), fault_of(undefined, 0));
    let mut soft = pvkernel_xen::trap::default_table();
    soft[31] = TrapInfo::new(0x80, 1, 0xe033, soft[6].address);
    // Vector 0x80 leads to the stub of #UD here, which reports vector 6.
    t.ret("table-int-80", 0, hypercall(nr::SET_TRAP_TABLE, &[address(&mut soft)]));
    t.eq("int-80", Err((6, 0)), fault_of(int_80, 0));
    let mut none = [TrapInfo::new(0x80, 0, 0xe033, 0), TrapInfo::default()];
    t.ret("table-cannot-remove-one", 0, hypercall(nr::SET_TRAP_TABLE, &[address(&mut none)]));
    t.ret("table-clear-again", 0, hypercall(nr::SET_TRAP_TABLE, &[0]));
    pvkernel_xen::trap::install();
    let refused = fault_of(int_80, 0);
    t.eq("int-80-without-handler", Err((13, 0x402)), refused);
}
