# Ways into the kernel, and the switch between threads.
#
# _start            from the builder, in kernel mode on the one-page boot stack, events masked;
#                   rsi = start_info. Moves to the kernel's own stack and never returns. The time
#                   stamp counter is read first: it tells when the domain began to run.
# trap_stub_N       from the hypervisor for exception N, on the stack that was running (or on the
#                   stack set by stack_switch when user mode was running). On top of the stack:
#                   rcx, r11, an error code for some vectors, then rip, cs, rflags, rsp, ss.
# trap_event,       the same for events, for a refused segment load, and for system calls of
# trap_failsafe,    user mode.
# trap_syscall
# pvkernel_user_enter        called from Rust as a normal function: runs a program, returns when that traps. All
#                   programs trap on one small stack (user_trap_stack), so nothing has to be told to the
#                   hypervisor when another process runs; the kernel's own stack is in user_kernel_sp.
# context_switch    called from Rust as a normal function.
#
# All traps build one frame (struct TrapFrame in trap.rs ties its size and order), call
# pvkernel_trap(frame), and leave through the iret hypercall, which restores the event mask.
# What the stubs clobber: nothing; every register comes back from the frame.

    .section .note.Xen, "a", @note
    .macro note_text type, text
    .balign 4
    .long 4, 8f - 7f, \type
    .asciz "Xen"
7:  .asciz "\text"
8:  .balign 4
    .endm
    .macro note_number type, value
    .balign 4
    .long 4, 8, \type
    .asciz "Xen"
    .quad \value
    .endm
    note_text   6, "pvkernel"                     # GUEST_OS
    note_text   7, "1"                            # GUEST_VERSION
    note_text   5, "xen-3.0"                      # XEN_VERSION
    note_text   8, "generic"                      # LOADER
    note_text   9, "yes"                          # PAE_MODE
    note_text  10, "!writable_page_tables|pae_pgdir_above_4gb|dom0"  # FEATURES
    note_number 3, VIRT_BASE                      # VIRT_BASE
    note_number 1, _start                         # ENTRY
    note_number 12, 0xffff800000000000            # HV_START_LOW
    note_number 17, 0x890                         # SUPPORTED_FEATURES: bits 4, 7, 11

    .section .text.entry, "ax", @progbits
    .globl _start
    .type _start, @function
_start:
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
    .size _start, . - _start

    # The stubs. Vectors 8, 10 to 14, 17 and 21 come with an error code.
    .macro trap_stub vector
    .balign 16
trap_stub_\vector:
    pop rcx
    pop r11
    .if (\vector == 8) || ((\vector >= 10) && (\vector <= 14)) || (\vector == 17) || (\vector == 21)
    .else
    push 0
    .endif
    push \vector
    jmp trap_common
    .endm

    .altmacro
    .set n, 0
    .rept 32
    trap_stub %n
    .set n, n + 1
    .endr

    .balign 16
    .globl trap_event
trap_event:
    pop rcx
    pop r11
    push 0
    push 256
    jmp trap_common

    .globl trap_failsafe
trap_failsafe:                      # ds, es, fs, gs lie between r11 and rip
    pop rcx
    pop r11
    lea rsp, [rsp + 32]
    push 0
    push 257
    jmp trap_common

    # Calls whose answer is known beforehand go straight back: the hypervisor's frame becomes that of
    # iret. rcx keeps the user's rip, as after any system call; r11 becomes 0.
    .globl trap_syscall
trap_syscall:
    cmp rax, 3                      # ANSWERS
    jae 1f
    lea rcx, [rip + pvkernel_user_answers]
    mov rcx, [rcx + rax * 8]
    test rcx, rcx
    js 1f
    mov qword ptr [rsp + 8], 0
    push 0
    push rcx
    mov eax, 23
    syscall
    ud2
1:  pop rcx
    pop r11
    push 0
    push 258

trap_common:
    test byte ptr [rsp + 24], 3     # cs: user mode was running
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
    .globl trap_return
trap_return:                        # rsp = TrapFrame
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
    lea rsp, [rsp + 8]              # vector; the error slot now holds the flags of iret
    push rcx
    push r11
    push rax
    mov eax, 23                     # iret: never comes back
    syscall
    ud2

    # pvkernel_user_enter(regs: rdi = *mut UserRegs) -> eax = number of the trap that ended it
    # Enters user mode; comes back, like any function, when user mode traps. Must be called with events
    # masked; they are masked again when it returns.
    .balign 16
    .globl pvkernel_user_enter
    .type pvkernel_user_enter, @function
pvkernel_user_enter:
    push rbp
    push rbx
    push r12
    push r13
    push r14
    push r15
    mov [rip + user_kernel_sp], rsp
    mov [rip + user_regs], rdi
    push 0xe02b                     # ss
    push [rdi + 17 * 8]             # rsp
    push [rdi + 16 * 8]             # rflags
    push 0xe033                     # cs
    push [rdi + 15 * 8]             # rip
    push 0                          # flags of iret
    push [rdi + 11 * 8]             # rcx
    push [rdi + 6 * 8]              # r11
    push [rdi + 10 * 8]             # rax
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
    mov eax, 23
    syscall
    ud2
    .size pvkernel_user_enter, . - pvkernel_user_enter

    # From user mode, on the trap stack: vector, error, rip, cs, rflags, rsp, ss. Saves the registers
    # where pvkernel_user_enter was told, and returns from it. Without pvkernel_user_enter (a program has its own hooks) it
    # is a trap like any other.
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
    pop [rip + pvkernel_user_error]
    pop [rdi + 15 * 8]
    pop rcx                         # cs
    pop [rdi + 16 * 8]
    pop [rdi + 17 * 8]
    mov rsp, [rip + user_kernel_sp]
    mov qword ptr [rip + user_regs], 0
    cld
    pop r15
    pop r14
    pop r13
    pop r12
    pop rbx
    pop rbp
    ret
2:  pop rdi
    jmp trap_frame

    # context_switch(save: rdi = *mut usize, load: rsi = usize)
    # Saves what the calling convention preserves, stores the stack pointer, and continues on the
    # other stack, which was left by this routine or prepared by thread.rs.
    .balign 16
    .globl context_switch
    .type context_switch, @function
context_switch:
    push rbp
    push rbx
    push r12
    push r13
    push r14
    push r15
    mov [rdi], rsp
    mov rsp, rsi
    pop r15
    pop r14
    pop r13
    pop r12
    pop rbx
    pop rbp
    ret
    .size context_switch, . - context_switch

    # First code of a new thread; rbx = index of its context. The stack is 16-byte aligned here.
    .globl thread_trampoline
thread_trampoline:
    mov rdi, rbx
    xor ebp, ebp
    call pvkernel_thread_start
    ud2

    .section .rodata.trap_stubs, "a", @progbits
    .balign 8
    .globl trap_stubs
trap_stubs:
    .macro trap_stub_address vector
    .quad trap_stub_\vector
    .endm
    .set n, 0
    .rept 32
    trap_stub_address %n
    .set n, n + 1
    .endr
    .noaltmacro

    # What the next program that runs gets as answers of the first system calls; negative: none is known.
    .section .data.user, "aw", @progbits
    .balign 8
    .globl pvkernel_user_answers
pvkernel_user_answers:
    .rept 3
    .quad -1
    .endr
user_regs:                          # where registers go at a trap from user mode, while one runs
    .quad 0
user_kernel_sp:                     # the stack to return to
    .quad 0
    .globl pvkernel_user_error
pvkernel_user_error:                         # error code of the last trap
    .quad 0

    # The hypervisor puts the frame of a trap from user mode here: one, with events masked, so it is
    # never deeper than that and what an NMI adds.
    .section .bss.user_stack, "aw", @nobits
    .balign 16
    .skip 2048
    .globl pvkernel_user_stack
pvkernel_user_stack:

    .section .bss.boot_stack, "aw", @nobits
    .balign 4096
    .globl boot_stack_guard
boot_stack_guard:
    .skip 4096
    .skip 131072
    .globl boot_stack_top
boot_stack_top:
    .text
