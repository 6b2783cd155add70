# Ways into the kernel and out of it, from and to the hypervisor; the rest of them is in common.S.
#
# start             from the builder, in kernel mode on the one-page boot stack, events masked;
#                   rsi = start_info. Moves to the kernel's own stack and never returns. The time
#                   stamp counter is read first: it tells when the domain began to run.
# trap_stub_N       from the hypervisor for exception N, for events (32) and for a refused segment load (33),
#                   events masked. From the kernel: on the stack that was running. From a program: on
#                   pvkernel_user_stack, which it was told once. On top of what a processor pushes lie rcx
#                   and r11.
# trap_syscall      the same for system calls of programs. Those whose answer is ready go back at once.
#
# Back it goes by the iret hypercall, which restores the event mask.

    .section .text.entry, "ax", @progbits
start:
    rdtsc
    shl rdx, 32
    or rdx, rax                     # third argument
    cld
    mov rdi, rsi
    mov rsi, rsp
    lea rsp, [rip + boot_stack_top]
    xor ebp, ebp
    call pvkernel_start
    ud2

    .macro trap_stub vector
trap_stub_\vector:
    pop rcx
    pop r11
    .if \vector == 33
    lea rsp, [rsp + 32]             # ds, es, fs, gs
    .endif
    trap_number \vector
    jmp trap_common
    .endm

    # The hypervisor's frame becomes that of iret. rcx keeps the program's rip, as after any system call;
    # r11 becomes 0.
    .balign 16
    .globl trap_syscall
trap_syscall:
    cmp rax, ANSWERS
    jae 1f
    lea rcx, [rip + PVKERNEL_USER_ANSWERS]
    mov rcx, [rcx + rax * 8]
    test rcx, rcx
    js 1f
    mov qword ptr [rsp + 8], 0
    push 0
    push rcx
    mov eax, 23
    syscall                         # the answer was ready
    ud2
1:  pop rcx
    pop r11
    push 0
    push SYSCALL
    jmp user_trap

    .macro kernel_flags
    cld
    .endm

    .macro return_from_trap         # the error slot holds the flags of iret
    push rcx
    push r11
    push rax
    mov eax, 23                     # iret: never comes back
    syscall
    ud2
    .endm

    .macro enter_program
    push USER_SS
    push [rdi + 17 * 8]             # rsp
    push [rdi + 16 * 8]             # rflags
    push USER_CS
    push [rdi + 15 * 8]             # rip
    push 0                          # flags of iret
    push [rdi + 11 * 8]             # rcx
    push [rdi + 6 * 8]              # r11
    push [rdi + 10 * 8]             # rax
    load_program
    mov eax, 23
    syscall
    ud2
    .endm
