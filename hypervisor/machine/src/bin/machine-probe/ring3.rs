//! Checks of the ways in and out, by a few instructions in ring 3 (`guest.S`).
//!
//! Every event is compared with the next one of [`EXPECTED`].

use core::arch::global_asm;
use core::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};
use hv_machine::{
    cpu, cpuinfo, desc, directmap, frames, guest, hvslots, info, irq, segments, time,
};
use hv_machine::{GuestRegs, SyscallKind, VECTOR_SYSCALL_EXIT};
use hypercall_abi::regs::{FLAT_KERNEL_CS, FLAT_KERNEL_SS, FLAT_RING3_CS32};
use hypercall_abi::{GuestVa, Mfn};

const GUEST_CODE: u64 = 0x40_0000;
const GUEST_DATA: u64 = 0x40_1000;
const GUEST_FLAG: u64 = GUEST_DATA + 0x10;
/// Rounds of each timing loop.
const ROUNDS: u64 = 1000;
/// Request that does nothing.
const NULL_REQUEST: u64 = 100;
const GUEST_STACK: u64 = GUEST_DATA + 0x1000;

global_asm!(
    include_str!("guest.S"),
    GUEST_CODE = const GUEST_CODE,
    GUEST_FLAG = const GUEST_FLAG,
    ROUNDS = const ROUNDS,
);

extern "C" {
    static probe_guest_start: u8;
    static probe_guest_end: u8;
    static probe_guest32: u8;
    static probe_guest32_intel: u8;
}

/// What can happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Event {
    Hypercall(u64),
    Syscall(u64),
    /// From 32-bit code, by the instruction this CPU has for it.
    Syscall32(u64),
    Exception(u8, u32),
    IretFault(u8, u32),
    Upcall,
    Timer,
}

/// Bad selector the second request leaves with: within the guest's part of the table, empty.
const BAD_CS: u64 = 0x1b;

const EXPECTED: [Event; 19] = [
    Event::Hypercall(1),
    Event::Exception(3, 0),
    Event::Hypercall(2),
    Event::IretFault(13, BAD_CS as u32 & !3),
    Event::Exception(0x80, 0),
    Event::Exception(6, 0),
    Event::Exception(14, 4),
    Event::Exception(14, 7),
    Event::Exception(13, INT_21),
    Event::Exception(1, 0),
    Event::Hypercall(3),
    Event::Upcall,
    Event::Hypercall(8),
    Event::Syscall32(9),
    Event::Syscall32(10),
    Event::Hypercall(4),
    Event::Syscall(5),
    Event::Syscall(6),
    Event::Timer,
];

/// Error code of a refused `int 0x21`; older emulators give twice the vector.
const INT_21: u32 = 0x21 << 3 | 2;

static STEP: AtomicUsize = AtomicUsize::new(0);
static DATA: AtomicU32 = AtomicU32::new(0);
static RETURN_TO: AtomicU64 = AtomicU64::new(0);

/// How many events have been seen.
pub fn step() -> usize {
    STEP.load(Ordering::Relaxed)
}

fn expect(event: Event) {
    let step = STEP.fetch_add(1, Ordering::Relaxed);
    let event = match event {
        Event::Exception(13, 0x212) => Event::Exception(13, INT_21),
        other => other,
    };
    assert_eq!(EXPECTED.get(step), Some(&event), "event {step}");
}

fn new_frame() -> Mfn {
    let Some(mfn) = frames::alloc(0) else { panic!("no memory for the guest") };
    directmap::zero(mfn);
    mfn
}

fn data() -> Mfn {
    Mfn::new(u64::from(DATA.load(Ordering::Relaxed)))
}

/// Makes an address space with one page of code and one of data, and a frame that enters it.
pub fn enter(regs: &mut GuestRegs) {
    let [root, l3, l2, l1, code, data] = [(); 6].map(|()| new_frame());
    DATA.store(data.get() as u32, Ordering::Relaxed);
    let set = |table: Mfn, index: usize, entry: u64| {
        directmap::table(table)[index].store(entry, Ordering::Relaxed);
    };
    for slot in 256..272 {
        set(root, slot, hvslots::entry(slot));
    }
    set(root, 0, l3.maddr() | 7);
    set(l3, 0, l2.maddr() | 7);
    set(l2, 2, l1.maddr() | 7);
    set(l1, 0, code.maddr() | 5);
    set(l1, 1, data.maddr() | 7);
    let start = &raw const probe_guest_start;
    let len = (&raw const probe_guest_end).addr() - start.addr();
    // SAFETY: the bytes between the two symbols of `guest.S`.
    directmap::write_bytes(code, 0, unsafe { core::slice::from_raw_parts(start, len) });
    cpu::load_guest_root(root);
    desc::set_guest_gdt(&[]);
    assert!(segments::load(&segments::SegState::default(), true).is_ok());
    cpuinfo::set_kernel_mode(true);
    check_guest_access();
    *regs = GuestRegs {
        rip: GUEST_CODE,
        cs: u64::from(FLAT_KERNEL_CS),
        rflags: 0x3202,
        rsp: GUEST_STACK,
        ss: u64::from(FLAT_KERNEL_SS),
        ..GuestRegs::default()
    };
}

/// Copies from and to the guest, and faults that must come back as errors.
fn check_guest_access() {
    let at = GuestVa::new(GUEST_DATA + 0x100);
    assert!(guest::copy_out(at, &[1_u64, 2, 3, 4]).is_ok());
    assert_eq!(guest::copy_in::<u64>(at), Ok(1));
    assert_eq!(guest::copy_in::<[u64; 2]>(at), Ok([1, 2]));
    assert_eq!(guest::copy_in::<[u64; 3]>(at), Ok([1, 2, 3]));
    assert_eq!(guest::copy_in::<[u64; 4]>(at), Ok([1, 2, 3, 4]));
    assert_eq!(guest::copy_in::<[u8; 3]>(at), Ok([1, 0, 0]));
    assert!(guest::copy_out(at, &[0_u8; 13]).is_ok());
    assert_eq!(guest::copy_in::<[u16; 8]>(at), Ok([0, 0, 0, 0, 0, 0, 0, 0]));
    assert_eq!(guest::copy_in::<u64>(GuestVa::new(0x1000)), Err(guest::Fault));
    assert_eq!(guest::copy_in::<[u8; 9]>(GuestVa::new(GUEST_STACK - 4)), Err(guest::Fault));
    assert_eq!(guest::copy_in::<[u64; 2]>(GuestVa::new(GUEST_STACK - 8)), Err(guest::Fault));
    assert_eq!(guest::copy_out(GuestVa::new(GUEST_CODE), &0_u64), Err(guest::Fault));
    assert_eq!(guest::copy_out(GuestVa::new(0xffff_8300_0000_0000), &0_u64), Err(guest::Fault));
    assert_eq!(guest::copy_in::<u8>(GuestVa::new(1 << 47)), Err(guest::Fault));
    assert!(segments::load(&segments::SegState { ds: BAD_CS as u16, ..Default::default() }, true)
        .is_err());
    assert!(cpu::rdmsr_safe(0x277).is_some());
    let fpu = cpu::FpuArea::default();
    fpu.restore();
    let mut saved = cpu::FpuArea::default();
    saved.save();
    assert_eq!(saved.bytes()[..2], fpu.bytes()[..2]);
}

pub extern "C" fn hypercall(regs: &mut GuestRegs, (): &()) {
    let request = regs.rax;
    if request == NULL_REQUEST {
        return;
    }
    if request == 7 {
        finish_ring3(regs);
    }
    expect(Event::Hypercall(request));
    match request {
        2 => {
            // Leave by iretq with a selector that does not exist.
            regs.cs = BAD_CS;
            regs.vector = 0;
        }
        3 => {
            directmap::bytes8(data())[0].store(1, Ordering::Relaxed);
            let place = cpuinfo::InfoPlace::default();
            place.set(data(), 0);
            cpuinfo::set_vcpu_words(&place);
        }
        4 => cpuinfo::set_kernel_mode(false),
        8 => enter_32bit(regs),
        _ => {}
    }
}

/// Address of a label of the guest's code.
fn guest_address(label: *const u8) -> u64 {
    GUEST_CODE + (label.addr() - (&raw const probe_guest_start).addr()) as u64
}

/// Leaves to 32-bit code.
fn enter_32bit(regs: &mut GuestRegs) {
    RETURN_TO.store(regs.rip, Ordering::Relaxed);
    // Intel's processors have no `syscall` in 32-bit code; "Genu" begins the name of the maker.
    let intel = cpu::cpuid(0, 0)[1] == u32::from_le_bytes(*b"Genu");
    let label = if !intel { &raw const probe_guest32 } else { &raw const probe_guest32_intel };
    regs.rip = guest_address(label);
    regs.cs = u64::from(FLAT_RING3_CS32);
    regs.vector = 0;
}

/// Back to 64-bit code.
fn leave_32bit(regs: &mut GuestRegs) {
    regs.rip = RETURN_TO.load(Ordering::Relaxed);
    regs.rsp = GUEST_STACK;
    regs.cs = u64::from(FLAT_KERNEL_CS);
    regs.ss = u64::from(FLAT_KERNEL_SS);
}

pub extern "C" fn rare_syscall(regs: &mut GuestRegs, (): &(), kind: SyscallKind) {
    match (kind, regs.rax) {
        (SyscallKind::Syscall32, call) => {
            assert_eq!(regs.cs, u64::from(FLAT_RING3_CS32));
            expect(Event::Syscall32(call));
            if call == 10 {
                leave_32bit(regs);
            }
        }
        (SyscallKind::Sysenter, call) => {
            assert_eq!((call, regs.rip, regs.rsp), (11, 0, 0));
            expect(Event::Syscall32(9));
            expect(Event::Syscall32(10));
            leave_32bit(regs);
        }
    }
}

pub extern "C" fn syscall(regs: &mut GuestRegs, (): &()) {
    expect(Event::Syscall(regs.rax));
    assert_eq!(regs.rcx, regs.rip);
    if regs.rax == 6 {
        cpuinfo::set_kernel_mode(true);
        time::arm_timer(time::now_ns() + 20_000);
    }
}

/// The guest took a page fault; all are looked at with all registers.
pub extern "C" fn page_fault(_: &mut GuestRegs, (): &()) -> bool {
    false
}

/// The upcall bytes were found deliverable on the way out of a call.
pub extern "C" fn event(_: &mut GuestRegs, (): &()) {
    expect(Event::Upcall);
    directmap::bytes8(data())[1].store(1, Ordering::Relaxed);
}

/// The guest took another exception.
pub extern "C" fn exception(_: &mut GuestRegs, (): &(), _: u8) -> bool {
    false
}

/// An exception with all registers.
pub extern "C" fn examine(regs: &mut GuestRegs, (): &(), vector: u8) {
    if regs.rax == NULL_REQUEST {
        regs.rip += 2;
        return;
    }
    expect(Event::Exception(vector, regs.error_code));
    let skip = match vector {
        6 => 2,
        13 => 2,
        14 if regs.error_code == 4 => {
            assert_eq!(cpu::cr2(), 0x1000);
            8
        }
        14 => {
            assert_eq!(cpu::cr2(), GUEST_CODE);
            3
        }
        1 => {
            assert_eq!(cpu::take_dr6() & 0x4000, 0x4000, "not a single step");
            regs.rflags &= !0x100;
            0
        }
        _ => 0,
    };
    regs.rip += skip;
}

pub extern "C" fn iret_fault(regs: &mut GuestRegs, (): &(), vector: u8) {
    expect(Event::IretFault(vector, regs.error_code));
    assert_eq!((regs.r12, regs.r15, regs.rax), (0x1212, 0x1515, 2), "registers were lost");
    regs.cs = u64::from(FLAT_KERNEL_CS);
    regs.vector = VECTOR_SYSCALL_EXIT;
}

/// The timer of the last loop: lets the guest go on.
pub fn on_interrupt(vector: u8) {
    if vector == irq::VEC_TIMER && step() == EXPECTED.len() - 1 {
        expect(Event::Timer);
        directmap::words32(data())[4].store(1, Ordering::Relaxed);
    }
}

fn finish_ring3(regs: &GuestRegs) -> ! {
    assert_eq!(step(), EXPECTED.len(), "events are missing");
    assert_eq!((regs.r12, regs.r15), (0x1212, 0x1515), "registers were lost");
    // Carry and direction flag as the guest had them, interrupts on, no I/O privilege.
    assert_eq!(regs.rflags & 0x3601, 0x601);
    let [call, trap] = [regs.rdi / ROUNDS, regs.rsi / ROUNDS];
    info!("empty handlers: hypercall {call}, #UD {trap} ticks (exact under -icount)");
    info!("{} events of ring 3 as expected", EXPECTED.len());
    crate::checks::finish()
}
