//! What a trap of the kernel leaves on the stack, and the last words about one that nobody handles.
//!
//! `common.S` makes the frame and takes the registers from it again, for both backends alike.

use crate::trap::SYSCALL;
use crate::{console, power};

/// Registers at an entry, as `common.S` stores them.
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
    /// Vector of the exception or interrupt, or one of the numbers in `trap`.
    pub vector: u64,
    /// Error code at entry, or 0. On return, the flags for the `iret` hypercall, if there is a hypervisor.
    pub error: u64,
    pub rip: u64,
    /// Selector in bits 15:0. From a hypervisor, the event mask before the entry in bits 39:32.
    pub cs: u64,
    pub rflags: u64,
    pub rsp: u64,
    pub ss: u64,
}

// 15 pushed registers, vector, error, and the five words a processor pushes.
const _: () = assert!(size_of::<TrapFrame>() == 22 * 8);
const _: () = assert!(core::mem::offset_of!(TrapFrame, vector) == 15 * 8);
const _: () = assert!(core::mem::offset_of!(TrapFrame, cs) == 18 * 8);

impl TrapFrame {
    /// Whether user mode was interrupted.
    #[must_use]
    pub const fn from_user(&self) -> bool {
        self.cs & 3 == 3
    }

    fn general(&self) -> [(&'static str, u64); 15] {
        [
            ("rax", self.rax),
            ("rbx", self.rbx),
            ("rcx", self.rcx),
            ("rdx", self.rdx),
            ("rsi", self.rsi),
            ("rdi", self.rdi),
            ("rbp", self.rbp),
            ("r8 ", self.r8),
            ("r9 ", self.r9),
            ("r10", self.r10),
            ("r11", self.r11),
            ("r12", self.r12),
            ("r13", self.r13),
            ("r14", self.r14),
            ("r15", self.r15),
        ]
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

/// The name of an exception, or of a system call.
fn name(vector: u64) -> &'static str {
    match usize::try_from(vector).ok().and_then(|vector| NAMES.get(vector)) {
        Some(name) => name,
        // A hypervisor's; a processor never comes to it.
        None if vector == 33 => "failsafe callback",
        None if vector == SYSCALL => "system call",
        None => "unknown",
    }
}

/// Describes an exception nobody handles, and ends it all. `address` is where the last page fault was.
pub(crate) fn die(frame: &TrapFrame, address: u64) -> ! {
    console::emergency(|| {
        let mode = if frame.from_user() { "user" } else { "kernel" };
        pvkernel_core::println!(
            "unhandled exception {} {} in {mode} mode, error {:#x}, cr2 {address:#018x}",
            frame.vector,
            name(frame.vector),
            frame.error,
        );
        pvkernel_core::println!(
            "rip {:#018x} rsp {:#018x} rflags {:#x} cs {:#x} ss {:#x}",
            frame.rip,
            frame.rsp,
            frame.rflags,
            frame.cs & 0xffff,
            frame.ss & 0xffff
        );
        for row in frame.general().chunks(3) {
            for (register, value) in row {
                pvkernel_core::print!("{register} {value:#018x} ");
            }
            pvkernel_core::println!();
        }
    });
    power::crash()
}
