//! `crasher crash=KIND`: dies in one of several ways.
//!
//! Each kind takes another path through the hypervisor; all of them must end this domain and nothing
//! else. Kinds whose exception this kernel handles end with its own report and a crash; the others
//! are ended by the hypervisor. Without a kind, the list is printed.
#![cfg_attr(target_os = "none", no_std)]
#![no_main]

use core::arch::asm;

use hypercall_abi::mmu::{MmuUpdate, MMU_NORMAL_PT_UPDATE};
use hypercall_abi::regs::TrapInfo;
use hypercall_abi::{nr, DomId, Mfn, Pfn};
use pvkernel_xen::boot::BootInfo;
use pvkernel_xen::hypercall::{self, cpu, mmu::mmu_update};
use pvkernel_xen::layout::{self, DIRECT_BASE};
use pvkernel_xen::{mmu, p2m, power, print, println};

pvkernel_xen::entry!(run);

type Kind = (&'static str, &'static str, fn());

const KINDS: &[Kind] = &[
    ("null", "reads address 0", null),
    ("ud", "executes an undefined instruction", undefined),
    ("gp", "jumps to an address that is not canonical", not_canonical),
    ("stack", "recurses without end", overflow),
    ("pt-violation", "writes to its own page table", write_page_table),
    ("pt-refused", "maps its page table writable and insists", insist_on_page_table),
    ("double", "has a fault handler that faults", double_fault),
    ("panic", "panics", || panic!("on request")),
    ("bad-iret", "returns from an exception through a bad stack", bad_iret),
    ("user-iret", "returns to user mode without page tables for it", user_iret),
    ("no-handler", "removes its trap table and faults", no_handler),
    ("shutdown", "reports a crash by itself", || power::crash()),
    ("watchdog", "lets its watchdog expire", watchdog),
];

fn run(boot: &'static BootInfo) -> ! {
    let wanted = boot.args().value("crash").unwrap_or("");
    if let Some((name, what, die)) = KINDS.iter().find(|(name, ..)| *name == wanted) {
        println!("crasher: {name}: {what}");
        die();
        println!("ZENDO-TEST crasher FAILURE survived {name}");
        power::poweroff()
    }
    print!("crasher: crash={wanted} is none of:");
    KINDS.iter().for_each(|(name, ..)| print!(" {name}"));
    println!();
    println!("ZENDO-TEST crasher ERROR no such kind");
    power::poweroff()
}

fn null() {
    // SAFETY: not sound, and meant to be: nothing is mapped at 0, so the read faults.
    unsafe { asm!("mov rax, [0]", out("rax") _, options(nostack)) };
}

fn undefined() {
    // SAFETY: raises #UD, which ends this domain.
    unsafe { asm!("ud2", options(nostack)) };
}

fn not_canonical() {
    // SAFETY: raises #GP, which ends this domain.
    unsafe { asm!("jmp {}", in(reg) 0x8000_0000_0000_0000u64, options(nostack)) };
}

fn overflow() {
    // SAFETY: fills the stack until the page below it is touched, which ends this domain.
    unsafe { asm!("2: push rax", "jmp 2b") };
}

fn write_page_table() {
    let table = table_address();
    // SAFETY: page tables are read-only for us: the write faults and ends this domain.
    unsafe { asm!("mov qword ptr [{}], 0", in(reg) table, options(nostack)) };
}

/// Address, in the direct map, of the first level-1 table of the direct map.
fn table_address() -> u64 {
    let entry = mmu::level1_entry_maddr(DIRECT_BASE).expect("the direct map has tables");
    let table = Mfn::from_maddr(entry);
    (0..p2m::count() as u64)
        .map(Pfn::new)
        .find(|pfn| p2m::mfn(*pfn) == Some(table))
        .map(layout::direct_va)
        .expect("the table is one of our frames")
}

fn insist_on_page_table() {
    let table = table_address();
    let slot = mmu::level1_entry_maddr(table).expect("the direct map has tables");
    let entry = mmu::lookup(table).expect("mapped") | hypercall_abi::mmu::pte::RW;
    let update = MmuUpdate::new(MMU_NORMAL_PT_UPDATE, slot, entry);
    // SAFETY: the hypervisor refuses; if it did not, that is the failure we look for.
    let refused = unsafe { mmu_update(&[update], DomId::SELF) };
    println!("crasher: asking for a writable page table: {refused:?}");
    write_page_table();
}

fn double_fault() {
    let mut table = [TrapInfo::default(); 2];
    table[0] = TrapInfo::new(14, 0, 0, 0xdead_0000);
    // SAFETY: the handler's address is not mapped: entering it faults again, without end, until the
    // stack is used up and the hypervisor ends this domain.
    let _ = unsafe { cpu::set_trap_table(&table) };
    null();
}

fn bad_iret() {
    // SAFETY: the frame of iret is read from address 0x1000, where nothing is mapped.
    unsafe { asm!("mov rsp, 0x1000", "mov eax, 23", "syscall", options(noreturn)) };
}

fn user_iret() {
    // SAFETY: asks for user mode, which this domain has no page tables for.
    unsafe {
        asm!(
            "push 0xe02b",
            "push 0",
            "push 0x200",
            "push 0xe033",
            "push 0x1000",
            "push 0",
            "push 0",
            "push 0",
            "push 0",
            "mov eax, 23",
            "syscall",
            options(noreturn)
        )
    };
}

fn no_handler() {
    // SAFETY: with no trap table the next exception ends this domain.
    unsafe { hypercall::raw(nr::SET_TRAP_TABLE, [0; 5]) };
    undefined();
}

fn watchdog() {
    let _ = hypercall::sched::watchdog(0, 1);
    loop {
        hypercall::sched::block();
    }
}
