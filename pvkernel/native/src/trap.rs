//! Exceptions and interrupts, and the one function all entries of the kernel's own lead to.
//!
//! `entry.S` builds a `TrapFrame` and calls `pvkernel_trap`. Interrupts go to module `event`; an
//! exception in the kernel is a bug: it is described on the console and the machine stops. Traps of
//! programs do not come here: they return from `pvkernel_user_enter`, and `user` looks at the frame.

use spin::Once;

use crate::cpu::{self, msr};
use crate::segments::{self, DOUBLE_FAULT_STACK, KERNEL_CS, NMI_STACK, SYSRET_BASE};
use crate::{console, event, power};

/// Registers at an entry, as `entry.S` stores them.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
#[allow(missing_docs)] // The fields are registers and say so.
pub struct TrapFrame {
    pub r15: u64,
    pub r14: u64,
    pub r13: u64,
    pub r12: u64,
    pub rbp: u64,
    pub rbx: u64,
    pub r11: u64,
    pub r10: u64,
    pub r9: u64,
    pub r8: u64,
    pub rax: u64,
    pub rcx: u64,
    pub rdx: u64,
    pub rsi: u64,
    pub rdi: u64,
    /// Vector of the exception or interrupt.
    pub vector: u64,
    /// Error code, or 0.
    pub error: u64,
    pub rip: u64,
    pub cs: u64,
    pub rflags: u64,
    pub rsp: u64,
    pub ss: u64,
}

// 15 pushed registers, vector, error, and the processor's five words.
const _: () = assert!(size_of::<TrapFrame>() == 22 * 8);
const _: () = assert!(core::mem::offset_of!(TrapFrame, vector) == 15 * 8);
const _: () = assert!(core::mem::offset_of!(TrapFrame, cs) == 144);

impl TrapFrame {
    /// Whether user mode was interrupted.
    #[must_use]
    pub const fn from_user(&self) -> bool {
        self.cs & 3 == 3
    }
}

/// Exceptions have the vectors below this one.
pub const EXCEPTIONS: u64 = 32;
/// Vector of interrupts that went away before they were delivered.
pub const SPURIOUS: u8 = 255;
/// What `pvkernel_user_enter` answers for a system call.
pub const SYSCALL: u64 = 256;

/// Vectors with a stub: exceptions, interrupts, and the spurious one.
const STUBS: usize = 65;

#[cfg(target_os = "none")]
mod symbols {
    // SAFETY: defined in entry.S with these types.
    unsafe extern "C" {
        pub static trap_stubs: [u64; super::STUBS];
        pub static trap_user_frame: super::TrapFrame;
        pub static trap_user_frame_end: u8;
        pub fn user_syscall();
    }
}

/// On a host nothing is ever entered; the addresses only have to exist.
#[cfg(not(target_os = "none"))]
mod symbols {
    #![allow(non_upper_case_globals)]
    pub static trap_stubs: [u64; super::STUBS] = [0; super::STUBS];
    pub static trap_user_frame: u8 = 0;
    pub static trap_user_frame_end: u8 = 0;
    pub extern "C" fn user_syscall() {}
}

/// Addresses of the stubs.
fn stubs() -> [u64; STUBS] {
    #[cfg_attr(not(target_os = "none"), allow(unused_unsafe))]
    // SAFETY: the table is constant data of `entry.S`.
    unsafe {
        symbols::trap_stubs
    }
}

type Gate = [u64; 2];

/// A gate to a stub: interrupts off on entry, and breakpoints open to user mode.
fn gate(vector: usize, address: u64) -> Gate {
    let (dpl, stack) = match vector {
        2 => (0, NMI_STACK),
        3 | 4 => (3, 0),
        8 => (0, DOUBLE_FAULT_STACK),
        _ => (0, 0),
    };
    let low = address & 0xffff | u64::from(KERNEL_CS) << 16 | u64::from(stack) << 32;
    [low | (0x8e | dpl << 5) << 40 | (address >> 16 & 0xffff) << 48, address >> 32]
}

/// The kernel's trap table.
fn default_table() -> [Gate; 256] {
    let mut table = [[0; 2]; 256];
    for (at, address) in stubs().into_iter().enumerate() {
        let vector = if at == STUBS - 1 { usize::from(SPURIOUS) } else { at };
        table[vector] = gate(vector, address);
    }
    table
}

static TABLE: Once<[Gate; 256]> = Once::new();

/// TF, IF, DF, IOPL, NT, RF, AC: what `syscall` clears.
const SYSCALL_MASK: u64 = 0x100 | 0x200 | 0x400 | 0x3000 | 0x4000 | 0x1_0000 | 0x4_0000;

/// Installs the kernel's segments, trap table and entry point of system calls.
pub fn install() {
    segments::install(&raw const symbols::trap_user_frame_end as u64);
    let table = TABLE.call_once(default_table);
    // SAFETY: the stubs follow the processor's frame format.
    unsafe { cpu::lidt(table.as_ptr() as u64, size_of_val(table)) };
    let entries = [
        (msr::STAR, u64::from(SYSRET_BASE) << 48 | u64::from(KERNEL_CS) << 32),
        (msr::LSTAR, symbols::user_syscall as *const () as u64),
        (msr::SYSCALL_MASK, SYSCALL_MASK),
    ];
    for (register, value) in entries {
        // SAFETY: the entry point and selectors of the kernel.
        unsafe { cpu::wrmsr(register, value) };
    }
}

/// The frame of the last trap of a program.
#[cfg(target_os = "none")]
pub(crate) fn user_frame() -> TrapFrame {
    let frame = &raw const symbols::trap_user_frame;
    // SAFETY: the area is as large as a frame, and nobody runs in user mode.
    unsafe { frame.read_volatile() }
}

/// On a host no program ever runs.
#[cfg(not(target_os = "none"))]
pub(crate) fn user_frame() -> TrapFrame {
    let _ = &symbols::trap_user_frame;
    TrapFrame::default()
}

/// Handles an entry of the kernel's own; called by `entry.S` with interrupts off.
#[cfg_attr(target_os = "none", unsafe(no_mangle))]
pub extern "C" fn pvkernel_trap(frame: &mut TrapFrame) {
    if frame.vector >= EXCEPTIONS {
        event::upcall(frame.vector as u8);
    } else {
        die(frame);
    }
}

const NAMES: [&str; 20] = [
    "#DE divide error",
    "#DB debug",
    "NMI",
    "#BP breakpoint",
    "#OF overflow",
    "#BR bound range",
    "#UD invalid opcode",
    "#NM no FPU",
    "#DF double fault",
    "coprocessor overrun",
    "#TS invalid TSS",
    "#NP segment not present",
    "#SS stack segment",
    "#GP general protection",
    "#PF page fault",
    "reserved",
    "#MF x87",
    "#AC alignment",
    "#MC machine check",
    "#XM SIMD",
];

fn name(vector: u64) -> &'static str {
    usize::try_from(vector).ok().and_then(|v| NAMES.get(v)).copied().unwrap_or("unknown")
}

/// Describes an exception nobody handles, and stops the machine.
pub(crate) fn die(frame: &TrapFrame) -> ! {
    console::emergency(|| {
        let mode = if frame.from_user() { "user" } else { "kernel" };
        pvkernel_core::println!(
            "unhandled exception {} {} in {mode} mode, error {:#x}, cr2 {:#018x}",
            frame.vector,
            name(frame.vector),
            frame.error,
            cpu::read_cr2(),
        );
        pvkernel_core::println!(
            "rip {:#018x} rsp {:#018x} rflags {:#x} cs {:#x} ss {:#x}",
            frame.rip,
            frame.rsp,
            frame.rflags,
            frame.cs & 0xffff,
            frame.ss & 0xffff
        );
        let general = [
            ("rax", frame.rax),
            ("rbx", frame.rbx),
            ("rcx", frame.rcx),
            ("rdx", frame.rdx),
            ("rsi", frame.rsi),
            ("rdi", frame.rdi),
            ("rbp", frame.rbp),
            ("r8 ", frame.r8),
            ("r9 ", frame.r9),
            ("r10", frame.r10),
            ("r11", frame.r11),
            ("r12", frame.r12),
            ("r13", frame.r13),
            ("r14", frame.r14),
            ("r15", frame.r15),
        ];
        for row in general.chunks(3) {
            for (register, value) in row {
                pvkernel_core::print!("{register} {value:#018x} ");
            }
            pvkernel_core::println!();
        }
    });
    power::crash()
}
