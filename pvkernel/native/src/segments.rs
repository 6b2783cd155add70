//! Segments, gates, and the task state that names the stacks for traps.
//!
//! In 64-bit mode a segment is little more than a ring. The task state tells the processor which stack
//! to take when a trap changes the ring (always `pvkernel_user_stack`), and for traps that must not trust the
//! stack that was running: NMI and double fault, which is what an overflow of a stack becomes.

use core::cell::UnsafeCell;
use core::sync::atomic::{AtomicU64, Ordering};

use crate::cpu;

/// Code of the kernel.
pub const KERNEL_CS: u16 = 0x08;
/// Data of the kernel; `syscall` takes it to be behind the code.
pub const KERNEL_SS: u16 = 0x10;
/// Data of programs; `sysret` takes it to be before the code.
pub const USER_SS: u16 = 0x18 | 3;
/// Code of programs.
pub const USER_CS: u16 = 0x20 | 3;
const TASK_STATE: u16 = 0x28;

/// What `sysret` adds 16 to for the code, and 8 for the data.
pub const SYSRET_BASE: u16 = KERNEL_SS | 3;

/// Present, ring 0, 64-bit code; ring 0 data; the same for ring 3.
const DESCRIPTORS: [u64; 5] =
    [0, 0x00af_9b00_0000_ffff, 0x00cf_9300_0000_ffff, 0x00cf_f300_0000_ffff, 0x00af_fb00_0000_ffff];

/// Index of the stacks for traps that take one of their own, in a gate.
const DOUBLE_FAULT_STACK: u8 = 1;
/// The same for NMI.
const NMI_STACK: u8 = 2;

/// An entry of the table of traps.
pub(crate) type Gate = [u64; 2];

/// A gate that keeps interrupts out: where a trap leads to. `dpl` is the ring from which an instruction may
/// ask for the trap.
pub(crate) fn gate(vector: u8, dpl: u64, code: u16, address: u64) -> Gate {
    let stack = match vector {
        2 => NMI_STACK,
        8 => DOUBLE_FAULT_STACK,
        _ => 0,
    };
    let low = address & 0xffff | u64::from(code) << 16 | u64::from(stack) << 32;
    [low | (0x8e | dpl << 5) << 40 | (address >> 16 & 0xffff) << 48, address >> 32]
}

const STACK_BYTES: usize = 16384;

/// A stack only the processor finds.
#[repr(C, align(16))]
struct TrapStack(UnsafeCell<[u8; STACK_BYTES]>);

// SAFETY: never accessed through this type; only its address is used.
unsafe impl Sync for TrapStack {}

impl TrapStack {
    fn top(&self) -> u64 {
        self.0.get() as u64 + STACK_BYTES as u64
    }
}

static STACKS: [TrapStack; 2] = [const { TrapStack(UnsafeCell::new([0; STACK_BYTES])) }; 2];

const STATE_BYTES: u64 = 104;
/// The task state in 64-bit words. The addresses in it lie 4 bytes behind those, each over two words.
static STATE: [AtomicU64; 13] = [const { AtomicU64::new(0) }; 13];
/// The table of segments. The processor marks the task state in it as busy.
static SEGMENTS: [AtomicU64; 7] = [const { AtomicU64::new(0) }; 7];

/// Loads segments and task state; `user_stack` is the end of that for traps of programs.
pub(crate) fn install(user_stack: u64) {
    let stacks = [(0, user_stack), (4, STACKS[0].top()), (5, STACKS[1].top())];
    for (index, address) in stacks {
        STATE[index].fetch_or(address << 32, Ordering::Relaxed);
        STATE[index + 1].fetch_or(address >> 32, Ordering::Relaxed);
    }
    // No I/O permission bitmap: its offset is the end of the segment.
    STATE[12].fetch_or(STATE_BYTES << 48, Ordering::Relaxed);
    let base = STATE.as_ptr() as u64;
    let low = (STATE_BYTES - 1) | (base & 0xff_ffff) << 16 | 0x89 << 40 | (base >> 24 & 0xff) << 56;
    let all = DESCRIPTORS.into_iter().chain([low, base >> 32]);
    SEGMENTS.iter().zip(all).for_each(|(slot, value)| slot.store(value, Ordering::Relaxed));
    let (base, bytes) = (SEGMENTS.as_ptr() as u64, size_of_val(&SEGMENTS));
    // SAFETY: a static table with these two selectors.
    unsafe { cpu::load_segments(base, bytes, KERNEL_CS, KERNEL_SS) };
    // SAFETY: the static task state, described just now.
    unsafe { cpu::ltr(TASK_STATE) };
}
