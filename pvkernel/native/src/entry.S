# Ways into the kernel and out of it, from and to the processor; the rest of them is in common.S.
#
# start             from multiboot.S, in 64-bit mode without a stack, interrupts off; edi and esi are
#                   the loader's. Moves to the kernel's own stack and never returns. The time stamp
#                   counter was read first: esp and ebp are its halves.
# trap_stub_N       from the processor for exception or interrupt N, interrupts off. From the kernel: on the
#                   stack that was running. From a program: on pvkernel_user_stack, to which the task state
#                   points for good. NMI and double fault have stacks of their own.
# trap_syscall      from `syscall` in a program, on the program's stack, interrupts off. Those whose answer
#                   is ready go back at once.
#
# Back it goes by iretq, or by sysretq, which is cheaper, where that does the same.

    .section .text.entry, "ax", @progbits
start:
    mov edx, esp
    shl rdx, 32
    mov eax, ebp
    or rdx, rax                     # third argument
    lea rsp, [rip + boot_stack_top]
    xor ebp, ebp
    call pvkernel_start
    ud2

    .macro trap_stub vector
trap_stub_\vector:
    trap_number \vector
    .if (\vector == 2) || (\vector == 8)
    jmp trap_frame                  # on a stack of its own, whatever was interrupted
    .else
    jmp trap_common
    .endif
    .endm

    .balign 16
    .globl trap_syscall
trap_syscall:                       # rcx = rip, r11 = rflags of the program
    cmp rax, ANSWERS
    jae 2f
    mov [rip + user_rax], rax
    mov rax, [rax * 8 + PVKERNEL_USER_ANSWERS]
    test rax, rax
    js 1f
    sysretq                         # the answer was ready, and nothing else has changed
1:  mov rax, [rip + user_rax]
2:  mov [rip + user_sp], rsp
    lea rsp, [rip + pvkernel_user_stack]
    push USER_SS
    push [rip + user_sp]
    push r11
    push USER_CS
    push rcx
    push 0
    push SYSCALL
    jmp user_trap

    .macro kernel_flags
    push 2
    popfq
    .endm

    .macro return_from_trap
    lea rsp, [rsp + 8]              # the error code
    iretq
    .endm

    .macro enter_program
    cmp byte ptr [rip + PVKERNEL_BY_SYSRET], 0
    je 1f
    mov rcx, [rdi + 15 * 8]         # rip
    mov r11, [rdi + 16 * 8]         # rflags
    mov rax, [rdi + 10 * 8]
    mov rsp, [rdi + 17 * 8]
    load_program
    sysretq
1:  push USER_SS
    push [rdi + 17 * 8]             # rsp
    push [rdi + 16 * 8]             # rflags
    push USER_CS
    push [rdi + 15 * 8]             # rip
    mov rcx, [rdi + 11 * 8]
    mov r11, [rdi + 6 * 8]
    mov rax, [rdi + 10 * 8]
    load_program
    iretq
    .endm

    .section .bss.user, "aw", @nobits
    .balign 8
user_sp:                            # of the program, for a moment
    .skip 8
user_rax:                           # likewise
    .skip 8
