//! Exceptions, and the one function all entries from the hypervisor lead to.
//!
//! `entry.S` builds a `TrapFrame` and calls `pvkernel_trap`. Events go to module `event`; an
//! exception goes to the hook of its vector, if a program installed one; an exception that nobody
//! handles is a bug: it is described on the console and the domain reports a crash.

use hypercall_abi::callback::{kind, MASK_EVENTS};
use hypercall_abi::regs::{TrapInfo, FLAT_KERNEL_CS};
use pvkernel_core::sync::Lock;

use crate::hypercall::cpu;
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
    /// Exception vector, or one of the numbers in this module.
    pub vector: u64,
    /// Error code at entry; on return, the flags for the `iret` hypercall.
    pub error: u64,
    pub rip: u64,
    /// Selector in bits 15:0; the event mask before the entry in bits 39:32.
    pub cs: u64,
    pub rflags: u64,
    pub rsp: u64,
    pub ss: u64,
}

// 15 pushed registers, vector, error, and the hypervisor's five words.
const _: () = assert!(size_of::<TrapFrame>() == 22 * 8);
const _: () = assert!(core::mem::offset_of!(TrapFrame, vector) == 15 * 8);

impl TrapFrame {
    /// Whether user mode was interrupted.
    #[must_use]
    pub const fn from_user(&self) -> bool {
        self.cs & 3 == 3
    }
}

/// `vector` of an event.
pub const EVENT: u64 = 256;
/// `vector` of a failed segment load.
pub const FAILSAFE: u64 = 257;
/// `vector` of a system call from user mode.
pub const SYSCALL: u64 = 258;

/// A program's own handler: may change the frame; returns whether it took care.
pub type Hook = fn(&mut TrapFrame) -> bool;

const HOOKS: usize = 34;
static HANDLERS: Lock<[Option<Hook>; HOOKS]> = Lock::new([None; HOOKS]);

fn slot(vector: u64) -> Option<usize> {
    match vector {
        0..=31 => usize::try_from(vector).ok(),
        FAILSAFE => Some(32),
        SYSCALL => Some(33),
        _ => None,
    }
}

/// Installs or removes the handler of a vector (0 to 31, `FAILSAFE`, `SYSCALL`).
///
/// # Safety
/// What the handler does to the frame, and thereby to the interrupted code, is sound.
pub unsafe fn set_hook(vector: u64, hook: Option<Hook>) {
    if let Some(slot) = slot(vector) {
        HANDLERS.lock()[slot] = hook;
    }
}

#[cfg(target_os = "none")]
mod symbols {
    // SAFETY: defined in entry.S with these types.
    unsafe extern "C" {
        pub static trap_stubs: [u64; 32];
        pub fn trap_event();
        pub fn trap_failsafe();
        pub fn trap_syscall();
    }
}

/// On a host nothing is ever entered; the addresses only have to exist.
#[cfg(not(target_os = "none"))]
mod symbols {
    #![allow(non_upper_case_globals)]
    pub static trap_stubs: [u64; 32] = [0; 32];
    pub extern "C" fn trap_event() {}
    pub extern "C" fn trap_failsafe() {}
    pub extern "C" fn trap_syscall() {}
}

/// Addresses of the stubs by vector.
fn stubs() -> [u64; 32] {
    #[cfg_attr(not(target_os = "none"), allow(unused_unsafe))]
    // SAFETY: the table is constant data of `entry.S`.
    unsafe {
        symbols::trap_stubs
    }
}

/// The kernel's trap table: all exceptions, events masked on entry, and breakpoints open to user
/// mode. Ends with an empty entry.
#[must_use]
pub fn default_table() -> [TrapInfo; 33] {
    let mut table = [TrapInfo::default(); 33];
    for (vector, address) in stubs().into_iter().enumerate() {
        let dpl = if vector == 3 || vector == 4 { 3 } else { 0 };
        let flags = TrapInfo::FLAG_MASK_EVENTS | dpl;
        table[vector] = TrapInfo::new(vector as u8, flags, FLAT_KERNEL_CS, address);
    }
    table
}

/// Installs the kernel's trap table and entry points.
pub fn install() {
    let entries: [(u16, unsafe extern "C" fn()); 3] = [
        (kind::EVENT, symbols::trap_event),
        (kind::FAILSAFE, symbols::trap_failsafe),
        (kind::SYSCALL, symbols::trap_syscall),
    ];
    // SAFETY: the stubs follow the interface's frame format.
    unsafe { cpu::set_trap_table(&default_table()) }.expect("the stubs have canonical addresses");
    for (kind, entry) in entries {
        let address = entry as usize as u64;
        // SAFETY: as above.
        unsafe { cpu::callback_register(kind, MASK_EVENTS, address) }
            .expect("the entry points have canonical addresses");
    }
}

/// Address of the entry for system calls from user mode.
#[must_use]
pub fn syscall_entry() -> u64 {
    symbols::trap_syscall as *const () as u64
}

/// Handles an entry from the hypervisor; called by `entry.S` with events masked.
#[cfg_attr(target_os = "none", unsafe(no_mangle))]
pub extern "C" fn pvkernel_trap(frame: &mut TrapFrame) {
    if frame.vector == EVENT {
        event::upcall();
    } else {
        let hook = slot(frame.vector).and_then(|slot| HANDLERS.try_lock().and_then(|h| h[slot]));
        if !hook.is_some_and(|hook| hook(frame)) {
            die(frame);
        }
    }
    if frame.vector != SYSCALL {
        frame.error = 0;
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
    match vector {
        FAILSAFE => "failsafe callback",
        SYSCALL => "system call",
        _ => usize::try_from(vector).ok().and_then(|v| NAMES.get(v)).copied().unwrap_or("unknown"),
    }
}

/// Describes an exception nobody handles, and ends the domain.
fn die(frame: &TrapFrame) -> ! {
    console::emergency(|| {
        let mode = if frame.from_user() { "user" } else { "kernel" };
        pvkernel_core::println!(
            "unhandled exception {} {} in {mode} mode, error {:#x}, cr2 {:#018x}",
            frame.vector,
            name(frame.vector),
            frame.error,
            event::fault_address(),
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
