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

    .globl trap_syscall
trap_syscall:
    pop rcx
    pop r11
    push 0
    push 258

trap_common:
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

    .section .bss.boot_stack, "aw", @nobits
    .balign 4096
    .globl boot_stack_guard
boot_stack_guard:
    .skip 4096
    .skip 131072
    .globl boot_stack_top
boot_stack_top:
    .text
