//! Masking interrupts, and the task-switched flag.

use core::arch::asm;
use core::mem::offset_of;
use core::sync::atomic::{AtomicU64, AtomicU8, Ordering};

use alloc::vec::Vec;
use hypercall_abi::multicall::MulticallEntry;
use hypercall_abi::shared_info::{VcpuInfo, OFFSET_EVTCHN_MASK};
use hypercall_abi::{nr, DomId, EvtchnPort};
use pvkernel_xen::event;
use pvkernel_xen::hypercall::{evtchn, physdev, version};
use test_guests::call::hypercall;

use super::{all_done, batch, entry, multicall, rounds, unanswered};
use crate::meter::{Meter, Row};

const INTERRUPT_FLAG: u64 = 1 << 9;
const TASK_SWITCHED: u64 = 1 << 3;

/// Runs the topic.
pub fn run(m: &mut Meter) {
    mask_by_flag(m);
    mask_by_memory(m);
    mask_port(m);
    task_switched(m);
}

fn flags() -> u64 {
    let flags: u64;
    // SAFETY: pushes and pops a word.
    unsafe { asm!("pushfq", "pop {}", out(reg) flags) };
    flags
}

/// `cli` and `sti` trap and are ignored; `popf` does not even trap. The flag stays set whatever the
/// kernel does, which is the proof: on a processor of its own it would be clear in between.
fn mask_by_flag(m: &mut Meter) {
    let (trap, silent) =
        (Row::new("versus_mask_trap", "pair"), Row::new("versus_mask_popf", "pair"));
    if !m.wants(&[trap, silent]) {
        return;
    }
    let pair = |seen: &mut u64| {
        // SAFETY: with I/O privilege the two are emulated, without effect.
        unsafe { asm!("cli") };
        *seen += flags() & INTERRUPT_FLAG;
        // SAFETY: as above.
        unsafe { asm!("sti") };
    };
    let stayed_set = |seen: &mut u64, made: u64| *seen == made * INTERRUPT_FLAG;
    let _ = physdev::set_iopl(1);
    m.cost(trap, 0, pair, stayed_set);
    let _ = physdev::set_iopl(0);
    let pair = |seen: &mut u64| {
        let before = flags();
        // SAFETY: changes the interrupt flag if anything, and puts it back.
        unsafe { asm!("push {}", "popfq", in(reg) before & !INTERRUPT_FLAG) };
        *seen += flags() & INTERRUPT_FLAG;
        // SAFETY: as above.
        unsafe { asm!("push {}", "popfq", in(reg) before) };
    };
    m.cost(silent, 0, pair, stayed_set);
}

/// Set the mask byte, clear it, look whether something came meanwhile.
fn mask_by_memory(m: &mut Meter) {
    let row = Row::new("versus_mask_shared", "pair");
    let info = event::vcpu_info();
    let mask: &AtomicU8 = info.u8_at(offset_of!(VcpuInfo, evtchn_upcall_mask));
    let pending: &AtomicU8 = info.u8_at(offset_of!(VcpuInfo, evtchn_upcall_pending));
    let pair = |masked: &mut u64| {
        mask.store(1, Ordering::SeqCst);
        *masked += u64::from(mask.load(Ordering::Relaxed));
        mask.store(0, Ordering::SeqCst);
        if pending.load(Ordering::SeqCst) != 0 {
            version::force_callback();
        }
    };
    let proof = |masked: &mut u64, made: u64| {
        let open = mask.load(Ordering::Relaxed) == 0;
        *masked == made && open
    };
    m.cost(row, 0, pair, proof);
    event::mask_upcalls();
}

/// A port of this domain with its bit in the masks.
struct Port {
    port: EvtchnPort,
    word: &'static AtomicU64,
}

impl Port {
    fn bit(&self) -> u64 {
        1 << (self.port.get() % 64)
    }
}

/// A single port is masked in shared memory and unmasked by hypercall.
fn mask_port(m: &mut Meter) {
    let row = Row::new("versus_mask_call", "pair");
    if !m.wants(&[row]) {
        return;
    }
    let port = evtchn::alloc_unbound(DomId::SELF, DomId::SELF).unwrap_or_default();
    let at = OFFSET_EVTCHN_MASK + 8 * (port.get() as usize / 64);
    let port = Port { port, word: event::shared_info().u64_at(at) };
    let pair = |unmasked: &mut u64| {
        port.word.fetch_or(port.bit(), Ordering::SeqCst);
        let done = evtchn::unmask(port.port).is_ok();
        let open = port.word.load(Ordering::Relaxed) & port.bit() == 0;
        *unmasked += u64::from(done && open);
    };
    m.cost(row, 0, pair, |unmasked, made| *unmasked == made);
    let _ = evtchn::close(port.port);
}

fn cr0() -> u64 {
    let value: u64;
    // SAFETY: emulated; reads a register.
    unsafe { asm!("mov {}, cr0", out(reg) value) };
    value
}

fn set_cr0(value: u64) {
    // SAFETY: emulated; only TS changes, which this program's code does not depend on.
    unsafe { asm!("mov cr0, {}", in(reg) value) };
}

fn clts() {
    // SAFETY: emulated; clears TS.
    unsafe { asm!("clts") };
}

/// Set and clear TS: by the instructions, by hypercall, by multicalls of N pairs.
fn task_switched(m: &mut Meter) {
    let trap = Row::new("versus_ts_trap", "pair");
    if m.wants(&[trap]) {
        let clear = cr0() & !TASK_SWITCHED;
        let pair = |_: &mut ()| {
            set_cr0(clear | TASK_SWITCHED);
            clts();
        };
        let proof = |_: &mut (), _| {
            let after = cr0();
            set_cr0(clear | TASK_SWITCHED);
            let set = cr0();
            clts();
            after == clear && set == clear | TASK_SWITCHED && cr0() == clear
        };
        m.cost(trap, (), pair, proof);
    }
    let pair = |refused: &mut i64| {
        *refused |= hypercall(nr::FPU_TASKSWITCH, &[1]);
        *refused |= hypercall(nr::FPU_TASKSWITCH, &[0]);
    };
    let proof = |refused: &mut i64, _| {
        let cleared = cr0() & TASK_SWITCHED == 0;
        *refused |= hypercall(nr::FPU_TASKSWITCH, &[1]);
        let set = cr0() & TASK_SWITCHED != 0;
        *refused |= hypercall(nr::FPU_TASKSWITCH, &[0]);
        *refused == 0 && cleared && set
    };
    m.cost(Row::new("versus_ts_call", "pair"), 0, pair, proof);
    for (size, row) in batch!("versus_ts_multicall", "pair") {
        let calls = (0..2 * size).map(|at| entry(nr::FPU_TASKSWITCH, &[(at as u64 + 1) % 2]));
        let made = |calls: &mut Vec<MulticallEntry>, _| {
            let cleared = cr0() & TASK_SWITCHED == 0;
            let _ = calls.pop();
            let again = multicall(calls) == 0 && all_done(calls);
            let set = cr0() & TASK_SWITCHED != 0;
            clts();
            cleared && again && set
        };
        let call = |calls: &mut Vec<MulticallEntry>| {
            let _ = multicall(calls);
        };
        m.cost(row.rounds(rounds(size)), unanswered(calls), call, made);
    }
}
