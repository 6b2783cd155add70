//! Writable page tables: plain stores to a read-only leaf table, trapped and carried out by the
//! hypervisor; and the call that switches this on and off.

use core::arch::asm;
use core::sync::atomic::AtomicU64;

use hypercall_abi::{nr, vm_assist};
use pvkernel_xen::hypercall::misc;
use pvkernel_xen::mmu::KERNEL_RW;
use test_guests::call::hypercall;
use test_guests::pages::{Page, Table, STORED_KERNEL};

use crate::meter::{Meter, Row};

const ASSIST: u32 = vm_assist::TYPE_WRITABLE_PAGETABLES;

/// Runs the topic.
pub fn run(m: &mut Meter) {
    assist(m);
    let on = misc::vm_assist(vm_assist::CMD_ENABLE, ASSIST);
    assert_eq!(on, Ok(()), "writable page tables can be had");
    let (table, a, b) = (Table::new(1), Page::new(), Page::new());
    let (a, b) = (a.entry(KERNEL_RW | STORED_KERNEL), b.entry(KERNEL_RW | STORED_KERNEL));
    write(m, "ptwr_mov_change_frame", &table, [a, b], store);
    write(m, "ptwr_mov_map_unmap", &table, [a, 0], store);
    write(m, "ptwr_xchg_change_frame", &table, [a, b], exchange);
    assert_eq!(table.set(0, 0), 0, "an entry can be cleared");
    let off = misc::vm_assist(vm_assist::CMD_DISABLE, ASSIST);
    assert_eq!(off, Ok(()), "writable page tables can be done without");
}

// The two writes are spelt out: what their emulation costs depends on how they are encoded.

/// Stores a word.
fn store(at: &AtomicU64, value: u64) -> Option<u64> {
    // SAFETY: the word lives.
    unsafe { asm!("mov [rdx], rax", in("rdx") at.as_ptr(), in("rax") value, options(nostack)) };
    None
}

/// Exchanges a word; returns what it was.
fn exchange(at: &AtomicU64, value: u64) -> Option<u64> {
    let before;
    // SAFETY: the word lives.
    unsafe {
        asm!("xchg [rdx], rax", in("rdx") at.as_ptr(), inlateout("rax") value => before,
            options(nostack));
    }
    Some(before)
}

fn assist(m: &mut Meter) {
    let switch = |cmd: u32| hypercall(nr::VM_ASSIST, &[u64::from(cmd), u64::from(ASSIST)]) != 0;
    m.cost(
        Row::new("hc_vm_assist_pair", "pair"),
        0,
        |failed| {
            *failed += u64::from(switch(vm_assist::CMD_ENABLE));
            *failed += u64::from(switch(vm_assist::CMD_DISABLE));
        },
        |failed, _| *failed == 0,
    );
}

/// The entry that is written, and what it gets in turn.
struct Writes {
    values: [u64; 2],
    next: usize,
    wrong: u64,
}

/// A row of writes. A write that answers with the old value proves itself each time, the others by
/// what the last ones leave.
fn write(
    m: &mut Meter,
    name: &'static str,
    table: &Table,
    values: [u64; 2],
    write: impl Fn(&AtomicU64, u64) -> Option<u64>,
) {
    let at = core::ptr::with_exposed_provenance_mut(table.page.va as usize);
    // SAFETY: the page is mapped while the table lives, and accessed by atomics and the hypervisor.
    let entry = unsafe { AtomicU64::from_ptr(at) };
    assert_eq!(table.set(0, values[1]), 0, "an entry can be set");
    let go = |state: &mut Writes| {
        let before = write(entry, state.values[state.next]);
        state.next ^= 1;
        state.wrong += u64::from(before.is_some_and(|before| before != state.values[state.next]));
    };
    m.cost(Row::new(name, "write"), Writes { values, next: 0, wrong: 0 }, go, |state, _| {
        let last = table.get(0) == values[state.next ^ 1];
        let both = (0..2).all(|turn| {
            go(state);
            table.get(0) == values[turn]
        });
        last && both && state.wrong == 0
    });
}
