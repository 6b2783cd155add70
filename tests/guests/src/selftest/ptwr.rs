//! Writable page tables: plain stores to a level-1 table, carried out by the hypervisor.

use core::arch::asm;

use crate::harness::Report;
use crate::pages::{Page, Table, STORED_KERNEL};
use crate::probe::fault_of;
use hypercall_abi::vm_assist as va;
use pvkernel_xen::hypercall::misc;
use pvkernel_xen::mmu::{KERNEL_RO, KERNEL_RW};

/// A write to a present, read-only page in kernel mode.
const WRITE_FAULT: Result<u64, (u64, u64)> = Err((14, 3));

/// Runs the topic.
pub fn run(t: &mut Report) {
    let table = Table::new(1);
    let data = Page::new();
    // In the control domain the same emulation serves read-only device frames, so it is always on.
    let when_off = if t.is_dom0 { Ok(0) } else { WRITE_FAULT };
    t.eq("off-by-default", when_off, store(table.page.va, 0));
    let on = misc::vm_assist(va::CMD_ENABLE, va::TYPE_WRITABLE_PAGETABLES);
    t.eq("enable", Ok(()), on);
    stores(t, &table, &data);
    read_modify_write(t, &table, &data);
    narrow(t, &table, &data);
    refused(t, &table, &data);
    other_pages(t);
    let off = misc::vm_assist(va::CMD_DISABLE, va::TYPE_WRITABLE_PAGETABLES);
    t.eq("disable", Ok(()), off);
    t.eq("off-again", when_off, store(table.page.va, 0));
}

fn with(function: extern "C" fn(u64) -> u64, va: u64, value: u64) -> Result<u64, (u64, u64)> {
    // The functions take one argument: the address of both.
    let operands = [va, value];
    fault_of(function, core::ptr::from_ref(&operands) as u64)
}

fn store(va: u64, value: u64) -> Result<u64, (u64, u64)> {
    with(mov, va, value)
}

/// Declares a function that loads the operands into rax (address) and rcx (value) and executes
/// instructions, whose result is in rcx.
macro_rules! instruction {
    ($name:ident, $($code:literal),+) => {
        extern "C" fn $name(operands: u64) -> u64 {
            let result: u64;
            // SAFETY: the operands live during the call; the store goes to a page of the test,
            // or faults, which the probe catches.
            unsafe {
                asm!(
                    "mov rax, [{0}]", "mov rcx, [{0} + 8]", $($code),+,
                    in(reg) operands, out("rcx") result, out("rax") _, out("rdx") _,
                    out("rdi") _, out("rsi") _,
                );
            }
            result
        }
    };
}

instruction!(mov, "mov [rax], rcx");
instruction!(mov_imm, "mov qword ptr [rax], 0");
instruction!(mov_byte, "mov byte ptr [rax + 1], cl");
instruction!(mov_word, "mov word ptr [rax], cx");
instruction!(mov_dword, "mov dword ptr [rax], ecx");
instruction!(movnti, "movnti [rax], rcx");
instruction!(stosq, "mov rdi, rax", "mov rax, rcx", "cld", "stosq", "mov rcx, rdi");
instruction!(rep_stosq, "mov rdi, rax", "mov rax, rcx", "mov ecx, 4", "cld", "rep stosq");
instruction!(xchg, "xchg [rax], rcx");
instruction!(xadd, "lock xadd [rax], rcx");
instruction!(or_bits, "lock or [rax], rcx");
instruction!(and_bits, "lock and [rax], rcx");
instruction!(bts, "lock bts qword ptr [rax], 9", "setc cl", "movzx ecx, cl");
instruction!(btr, "lock btr qword ptr [rax], 1", "setc cl", "movzx ecx, cl");
instruction!(
    cmpxchg,
    "mov rdx, rax",
    "mov rax, [rdx]",
    "lock cmpxchg [rdx], rcx",
    "sete cl",
    "movzx ecx, cl"
);
instruction!(
    cmpxchg_fails,
    "mov rdx, rax",
    "mov rax, 0x7777",
    "lock cmpxchg [rdx], rcx",
    "mov rcx, rax"
);

fn stores(t: &mut Report, table: &Table, data: &Page) {
    let va = table.page.va;
    let value = data.entry(KERNEL_RW);
    let stored = data.entry(KERNEL_RW | STORED_KERNEL);
    t.eq("mov", Ok(value), with(mov, va, value));
    t.eq("mov-stored-adjusted", stored, table.get(0));
    t.check("mov-imm", with(mov_imm, va, 0).is_ok());
    t.eq("mov-imm-stored", 0, table.get(0));
    t.check("movnti", with(movnti, va, value).is_ok());
    t.eq("movnti-stored", stored, table.get(0));
    t.eq("stosq", Ok(va + 16), with(stosq, va + 8, value));
    t.eq("stosq-stored", stored, table.get(1));
    t.eq("rep-stosq", Ok(0), with(rep_stosq, va + 8, value));
    t.eq("rep-stosq-stored", [stored; 4], [1, 2, 3, 4].map(|at| table.get(at)));
    t.eq("rep-stosq-clear", Ok(0), with(rep_stosq, va + 8, 0));
    t.eq("rep-stosq-cleared", [0; 4], [1, 2, 3, 4].map(|at| table.get(at)));
}

fn read_modify_write(t: &mut Report, table: &Table, data: &Page) {
    let va = table.page.va;
    let value = data.entry(KERNEL_RW | STORED_KERNEL);
    let _ = table.set(0, value);
    t.eq("xchg-returns-old", Ok(value), with(xchg, va, 0));
    t.eq("xchg-stored", 0, table.get(0));
    t.eq("xchg-back", Ok(0), with(xchg, va, value));
    t.eq("cmpxchg", Ok(1), with(cmpxchg, va, value | 1 << 9));
    t.eq("cmpxchg-stored", value | 1 << 9, table.get(0));
    t.eq("cmpxchg-fails", Ok(value | 1 << 9), with(cmpxchg_fails, va, 0));
    t.eq("cmpxchg-failed-stored-nothing", value | 1 << 9, table.get(0));
    t.eq("btr-returns-bit", Ok(1), with(btr, va, 0));
    t.eq("btr-stored", (value | 1 << 9) & !2, table.get(0));
    t.eq("bts-returns-bit", Ok(1), with(bts, va, 0));
    t.eq("or", Ok(1 << 10), with(or_bits, va, 1 << 10));
    t.eq("or-stored", (value | 3 << 9) & !2, table.get(0));
    t.check("and", with(and_bits, va, !(3 << 9)).is_ok());
    t.eq("and-stored", value & !2, table.get(0));
    t.eq("xadd-returns-old", Ok(value & !2), with(xadd, va, 1 << 11));
    t.eq("xadd-stored", value & !2 | 1 << 11, table.get(0));
    t.ret("clear", 0, table.set(0, 0));
}

/// Narrow stores change part of an entry; the whole is checked.
fn narrow(t: &mut Report, table: &Table, data: &Page) {
    let va = table.page.va;
    let value = data.entry(KERNEL_RW | STORED_KERNEL);
    let _ = table.set(0, value);
    let byte = (value >> 8) as u8 | 0b1100;
    t.check("byte", with(mov_byte, va, u64::from(byte)).is_ok());
    t.eq("byte-stored", value | 0b1100 << 8, table.get(0));
    t.check("word", with(mov_word, va, value).is_ok());
    t.eq("word-stored", value, table.get(0));
    t.check("dword", with(mov_dword, va, value & !2).is_ok());
    t.eq("dword-stored", value & !2, table.get(0));
    t.ret("clear", 0, table.set(0, 0));
}

/// A value that `mmu_update` would refuse leaves the guest with its page fault.
fn refused(t: &mut Report, table: &Table, data: &Page) {
    let va = table.page.va;
    t.eq("table-writable", WRITE_FAULT, store(va, table.page.entry(KERNEL_RW)));
    t.eq("frame-does-not-exist", WRITE_FAULT, store(va, 0x000f_ffff_ffff_f000 | KERNEL_RO));
    t.eq("unaligned", WRITE_FAULT, store(va + 4, 0));
    t.eq("refused-changed-nothing", 0, table.get(0));
    t.check("good-after-bad", store(va, data.entry(KERNEL_RO)).is_ok());
    t.check("clear-by-store", store(va, 0).is_ok());
}

fn other_pages(t: &mut Report) {
    let level2 = Table::new(2);
    t.eq("level-2-is-not-emulated", WRITE_FAULT, store(level2.page.va, 0));
    let page = Page::new();
    page.seal();
    t.eq("read-only-data-page", WRITE_FAULT, store(page.va, 0));
}
