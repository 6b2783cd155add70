//! What only a test does: system calls with any arguments, memory that is not there, instructions that are
//! forbidden, registers by name. All unsafe code of the tests is here; each piece runs in a child that may
//! be ended by it, and touches memory of its own or memory that cannot be touched.

use pvkernel_user::abi::Call;
use pvkernel_user::{sys, Errno, Result};

/// A system call with any arguments.
pub fn call(call: Call, args: [u64; 6]) -> Result<u64> {
    number(call as u64, args)
}

/// A system call by number.
pub fn number(number: u64, args: [u64; 6]) -> Result<u64> {
    // SAFETY: tests name memory they made for this call, or memory that must be refused.
    Errno::check(unsafe { sys::raw(number, args) })
}

/// Makes the heap smaller. Tests do it with memory they got from `sys::grow` themselves.
pub fn shrink(bytes: u64) -> Result<u64> {
    // SAFETY: the test got it from the kernel and does not use it any more; if the heap took memory
    // meanwhile, the child ends by a fault, which is a failure of the test.
    unsafe { sys::shrink(bytes) }
}

/// Reads a byte anywhere.
pub fn peek(address: u64) -> u8 {
    // SAFETY: memory the test got from the kernel; elsewhere it ends the child.
    unsafe { (address as *const u8).read_volatile() }
}

/// Writes a byte anywhere.
pub fn poke(address: u64, byte: u8) {
    // SAFETY: as above; nobody else uses that memory.
    unsafe { (address as *mut u8).write_volatile(byte) }
}

/// The address of something that is constant, and so cannot be written.
pub fn address_of_code() -> u64 {
    poke as *const () as u64
}

/// An instruction that a program must not execute: its name, itself, and the exceptions it may raise.
pub type Forbidden = (&'static str, fn(), &'static [i32]);

/// They. `iretq` is missing: QEMU reads its frame with the rights of ring 0, and Xen, whose tables forbid that,
/// lets the program try again and again.
pub const FORBIDDEN: &[Forbidden] = bare::FORBIDDEN;

pub use bare::{jump, keeps_float, keeps_registers, odd_flags, odd_stack, push_at, stack_pointer};

#[cfg(target_os = "none")]
mod bare {
    use core::arch::asm;

    use pvkernel_user::abi::Call;

    /// Functions of one instruction each.
    macro_rules! forbidden {
        ($($name:literal: $($line:literal),+ => $vectors:expr;)*) => {
            pub const FORBIDDEN: &[super::Forbidden] = &[$((
                $name,
                || {
                    // SAFETY: it faults, and the child ends there. Registers it may change are named.
                    unsafe {
                        asm!($($line),+, inout("rax") 0u64 => _, inout("rcx") 0u64 => _,
                            inout("rdx") 0u64 => _);
                    }
                },
                &$vectors,
            )),*];
        };
    }

    const GP: i32 = 13;

    forbidden! {
        "divide by zero": "div ecx" => [0];
        "single step": "pushfq", "or qword ptr [rsp], 0x100", "popfq", "nop", "nop" => [1];
        "int3": "int3" => [3];
        "undefined": "ud2" => [6];
        "cli": "cli" => [GP];
        "sti": "sti" => [GP];
        "hlt": "hlt" => [GP];
        "mov to cr3": "mov cr3, rax" => [GP];
        "mov from cr3": "mov rax, cr3" => [GP];
        "mov from cr0": "mov rax, cr0" => [GP];
        "mov to dr7": "mov dr7, rax" => [GP];
        "in": "in al, dx" => [GP];
        "out": "out dx, al" => [GP];
        "rdmsr": "mov ecx, 0xc0000080", "rdmsr" => [GP];
        "wrmsr": "mov ecx, 0xc0000082", "wrmsr" => [GP];
        "lgdt": "lgdt [rsp]" => [GP];
        "lidt": "lidt [rsp]" => [GP];
        "invlpg": "invlpg [rsp]" => [GP];
        "wbinvd": "wbinvd" => [GP];
        "swapgs": "swapgs" => [GP];
        "sysretq": "mov rcx, 0x400000", ".byte 0x48, 0x0f, 0x07" => [GP];
        "int 0x80": "int 0x80" => [GP];
        "int 0x20": "int 0x20" => [GP];
        "int 14": "int 14" => [GP];
        "a kernel selector": "mov eax, 0x10", "mov ss, eax" => [GP, 11];
        "read beyond the canonical half": "mov rax, 0x0000800000000000", "mov al, [rax]" => [GP];
        "jump beyond the canonical half": "mov rax, 0x0000800000000000", "jmp rax" => [GP];
    }

    /// Continues at an address, which is none.
    pub fn jump(address: u64) {
        // SAFETY: there is nothing to run; the child ends there.
        unsafe { asm!("jmp {}", in(reg) address, options(noreturn)) }
    }

    /// Pushes at an address that is no stack.
    pub fn push_at(address: u64) {
        // SAFETY: it faults, and the child ends there.
        unsafe { asm!("mov rsp, {}", "push rax", "ud2", in(reg) address, options(noreturn)) }
    }

    /// Where the stack is.
    pub fn stack_pointer() -> u64 {
        let pointer;
        // SAFETY: it copies a register.
        unsafe { asm!("mov {}, rsp", out(reg) pointer, options(nomem, nostack)) };
        pointer
    }

    /// A system call with a stack pointer that is none: the answer of `getpid`.
    pub fn odd_stack(stack: u64) -> i64 {
        let answer;
        // SAFETY: the stack pointer comes back before anything uses it.
        unsafe {
            asm!(
                "mov r12, rsp", "mov rsp, {stack}", "syscall", "mov rsp, r12",
                stack = in(reg) stack, inlateout("rax") Call::Getpid as i64 => answer,
                lateout("rcx") _, lateout("r11") _, out("r12") _,
            );
        }
        answer
    }

    /// A system call with direction, nested-task and alignment flags set: the answer of `write` of
    /// these bytes, and the flags behind it.
    pub fn odd_flags(fd: u32, bytes: &[u8]) -> (i64, u64) {
        let (answer, flags);
        // SAFETY: the flags are cleared again behind the call; the kernel reads `bytes`.
        unsafe {
            asm!(
                "pushfq", "or qword ptr [rsp], 0x44400", "popfq", "syscall",
                "pushfq", "pop r12", "pushfq", "and qword ptr [rsp], -0x44401", "popfq", "cld",
                inlateout("rax") Call::Write as i64 => answer, in("rdi") u64::from(fd),
                in("rsi") bytes.as_ptr(), in("rdx") bytes.len(),
                lateout("rcx") _, lateout("r11") _, out("r12") flags,
            );
        }
        (answer, flags)
    }

    /// Fills the general registers, makes a system call, and says whether all but three are as before.
    pub fn keeps_registers(call: u64, seed: u64) -> bool {
        let different: u64;
        // SAFETY: all registers it changes are named or saved; the call touches no memory.
        unsafe {
            asm!(
                "push rbx", "push rbp",
                "lea rbx, [rdi + 1]", "lea rbp, [rdi + 2]", "lea r8, [rdi + 3]", "lea r9, [rdi + 4]",
                "lea r10, [rdi + 5]", "lea r12, [rdi + 6]", "lea r13, [rdi + 7]", "lea r14, [rdi + 8]",
                "lea r15, [rdi + 9]", "lea rsi, [rdi + 10]", "lea rdx, [rdi + 11]",
                "push rdi", "syscall", "pop rcx",
                "xor eax, eax",
                "sub rdi, rcx", "or rax, rdi",
                "sub rbx, rcx", "sub rbx, 1", "or rax, rbx",
                "sub rbp, rcx", "sub rbp, 2", "or rax, rbp",
                "sub r8, rcx", "sub r8, 3", "or rax, r8",
                "sub r9, rcx", "sub r9, 4", "or rax, r9",
                "sub r10, rcx", "sub r10, 5", "or rax, r10",
                "sub r12, rcx", "sub r12, 6", "or rax, r12",
                "sub r13, rcx", "sub r13, 7", "or rax, r13",
                "sub r14, rcx", "sub r14, 8", "or rax, r14",
                "sub r15, rcx", "sub r15, 9", "or rax, r15",
                "sub rsi, rcx", "sub rsi, 10", "or rax, rsi",
                "sub rdx, rcx", "sub rdx, 11", "or rax, rdx",
                "pop rbp", "pop rbx",
                inlateout("rax") call => different, inlateout("rdi") seed => _,
                out("rsi") _, out("rdx") _, out("rcx") _, out("r8") _, out("r9") _, out("r10") _,
                out("r11") _, out("r12") _, out("r13") _, out("r14") _, out("r15") _,
            );
        }
        different == 0
    }

    /// Puts numbers into floating-point registers, spins or yields, and says whether they are there still.
    pub fn keeps_float(seed: u64, spins: u64, yields: bool) -> bool {
        let values: [u64; 4] = [seed, !seed, seed.rotate_left(17), seed.wrapping_mul(3)];
        let mut found = [0u64; 4];
        let number = if yields { 8u64 } else { 0 };
        let control = [0x1f80u32 | ((seed as u32 & 3) << 13), 0];
        let mut controls = [0u32; 2];
        // SAFETY: nothing else in a program uses these registers; it writes to the arrays it names.
        unsafe {
            asm!(
                "movq xmm0, qword ptr [rsi]", "movq xmm7, qword ptr [rsi + 8]",
                "movq xmm15, qword ptr [rsi + 16]", "fild qword ptr [rsi + 24]",
                "ldmxcsr dword ptr [r8]",
                "2:", "mov rax, r10", "syscall", "dec rdx", "jnz 2b",
                "movq qword ptr [rdi], xmm0", "movq qword ptr [rdi + 8], xmm7",
                "movq qword ptr [rdi + 16], xmm15", "fistp qword ptr [rdi + 24]",
                "stmxcsr dword ptr [r9]",
                in("rsi") values.as_ptr(), in("rdi") found.as_mut_ptr(), inout("rdx") spins => _,
                in("r8") control.as_ptr(), in("r9") controls.as_mut_ptr(), in("r10") number,
                out("rax") _, out("rcx") _, out("r11") _,
            );
        }
        found == values && controls[0] == control[0]
    }
}

/// There is nothing to try on the host.
#[cfg(not(target_os = "none"))]
mod bare {
    pub const FORBIDDEN: &[super::Forbidden] = &[];

    pub fn jump(_address: u64) {}

    pub fn push_at(_address: u64) {}

    pub fn stack_pointer() -> u64 {
        0
    }

    pub fn odd_stack(_stack: u64) -> i64 {
        0
    }

    pub fn odd_flags(_fd: u32, _bytes: &[u8]) -> (i64, u64) {
        (0, 0)
    }

    pub fn keeps_registers(_call: u64, _seed: u64) -> bool {
        false
    }

    pub fn keeps_float(_seed: u64, _spins: u64, _yields: bool) -> bool {
        false
    }
}
