# What every trap of the kernel does, whoever delivers it, and how programs are run. For both backends;
# what differs stands in their entry.S, before this:
#
# VIRT_BASE, STUBS, USER_CS, USER_SS, SYSCALL, ANSWERS   numbers of the Rust side
# trap_stub N        macro: the stub of vector N, trap_stub_N
# kernel_flags       macro: leaves flags of a program
# return_from_trap   macro: back to what a frame says; all registers but the stack pointer have been loaded
# enter_program      macro: into user mode; rdi = *UserRegs
#
# trap_common        where stubs go: vector, error code, rip, cs, rflags, rsp, ss on the stack that was running,
#                    or on pvkernel_user_stack if that was a program's. Upcalls are masked.
# pvkernel_user_enter   called from Rust as a normal function, upcalls masked: runs a program until it traps, and
#                    returns with the trap's number, upcalls masked again.
#
# A trap of the kernel builds a frame (struct TrapFrame in trap_frame.rs ties its size and order), calls
# pvkernel_trap(frame), and returns to what was interrupted; every register comes back from the frame.
# A trap of a program saves its registers in the UserRegs and returns from pvkernel_user_enter.

    # A number for trap_common: the error code, unless the vector comes with one, and the vector.
    .macro trap_number vector
    .if (\vector == 8) || ((\vector >= 10) && (\vector <= 14)) || (\vector == 17) || (\vector == 21) || (\vector == 29) || (\vector == 30)
    .else
    push 0
    .endif
    push \vector
    .endm

    # Registers that a function keeps for its caller.
    .macro save_preserved
    push rbp
    push rbx
    push r12
    push r13
    push r14
    push r15
    .endm
    .macro restore_preserved
    pop r15
    pop r14
    pop r13
    pop r12
    pop rbx
    pop rbp
    .endm

    # Registers of a program, from rdi = *UserRegs, itself the last; enter_program has seen to rax, rcx, r11,
    # rip, the flags and rsp.
    .macro load_program
    mov r15, [rdi]
    mov r14, [rdi + 1 * 8]
    mov r13, [rdi + 2 * 8]
    mov r12, [rdi + 3 * 8]
    mov rbp, [rdi + 4 * 8]
    mov rbx, [rdi + 5 * 8]
    mov r10, [rdi + 7 * 8]
    mov r9, [rdi + 8 * 8]
    mov r8, [rdi + 9 * 8]
    mov rdx, [rdi + 12 * 8]
    mov rsi, [rdi + 13 * 8]
    mov rdi, [rdi + 14 * 8]
    .endm

    .section .text.entry, "ax", @progbits
    .altmacro
    .set n, 0
    .rept STUBS
    .balign 16
    trap_stub %n
    .set n, n + 1
    .endr

    .balign 16
trap_common:
    test byte ptr [rsp + 24], 3     # the code segment's ring
    jnz user_trap
trap_frame:
    push rdi
    push rsi
    push rdx
    push rcx
    push rax
    push r8
    push r9
    push r10
    push r11
    push rbx
    push rbp
    push r12
    push r13
    push r14
    push r15
    cld
    mov rdi, rsp
    mov rbp, rsp
    and rsp, -16
    call pvkernel_trap
    mov rsp, rbp
    pop r15
    pop r14
    pop r13
    pop r12
    pop rbp
    pop rbx
    pop r11
    pop r10
    pop r9
    pop r8
    pop rax
    pop rcx
    pop rdx
    pop rsi
    pop rdi
    lea rsp, [rsp + 8]              # the vector
    return_from_trap

    # pvkernel_user_enter(regs: rdi = *mut UserRegs) -> eax = number of the trap that ended it
    # The offsets are those of UserRegs in pvkernel-core.
    .balign 16
    .globl pvkernel_user_enter
    .type pvkernel_user_enter, @function
pvkernel_user_enter:
    save_preserved
    mov [rip + user_kernel_sp], rsp
    mov [rip + user_regs], rdi
    enter_program
    .size pvkernel_user_enter, . - pvkernel_user_enter

    # From user mode. Without pvkernel_user_enter (a program has its own hooks) it is a trap like any other.
user_trap:
    push rdi
    mov rdi, [rip + user_regs]
    test rdi, rdi
    jz 2f
    mov [rdi], r15
    mov [rdi + 1 * 8], r14
    mov [rdi + 2 * 8], r13
    mov [rdi + 3 * 8], r12
    mov [rdi + 4 * 8], rbp
    mov [rdi + 5 * 8], rbx
    mov [rdi + 6 * 8], r11
    mov [rdi + 7 * 8], r10
    mov [rdi + 8 * 8], r9
    mov [rdi + 9 * 8], r8
    mov [rdi + 10 * 8], rax
    mov [rdi + 11 * 8], rcx
    mov [rdi + 12 * 8], rdx
    mov [rdi + 13 * 8], rsi
    pop [rdi + 14 * 8]
    pop rax                         # vector, which is returned
    pop [rip + PVKERNEL_USER_ERROR]
    pop [rdi + 15 * 8]
    pop rcx                         # cs
    pop [rdi + 16 * 8]
    pop [rdi + 17 * 8]
    mov rsp, [rip + user_kernel_sp]
    mov qword ptr [rip + user_regs], 0
    kernel_flags
    restore_preserved
    ret
2:  pop rdi
    jmp trap_frame

    .section .rodata.trap_stubs, "a", @progbits
    .balign 8
    .globl trap_stubs
trap_stubs:
    .macro trap_stub_address vector
    .quad trap_stub_\vector
    .endm
    .set n, 0
    .rept STUBS
    trap_stub_address %n
    .set n, n + 1
    .endr
    .noaltmacro

    # The frame of a trap from user mode comes to lie here: one, with upcalls masked, so it is never
    # deeper than that and what an NMI adds.
    .section .bss.user, "aw", @nobits
    .balign 16
    .skip 2048
    .globl pvkernel_user_stack
pvkernel_user_stack:
user_regs:                          # where registers go at a trap from user mode, while one runs
    .skip 8
user_kernel_sp:                     # the stack to return to
    .skip 8
    .text
