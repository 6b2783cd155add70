# The switch between threads, and the first thread's stack. For both backends, behind common.S, whose
# macros it uses.
#
# context_switch     called from Rust as a normal function; returns on another stack.
# thread_trampoline  where a new thread's first switch returns to.

    .section .text.entry, "ax", @progbits

    # context_switch(save: rdi = *mut usize, load: rsi = usize)
    # Saves what the calling convention preserves, stores the stack pointer, and continues on the
    # other stack, which was left by this routine or prepared by thread.rs.
    .balign 16
    .globl context_switch
    .type context_switch, @function
context_switch:
    save_preserved
    mov [rdi], rsp
    mov rsp, rsi
    restore_preserved
    ret
    .size context_switch, . - context_switch

    # First code of a new thread; rbx = index of its context. The stack is 16-byte aligned here.
    .globl thread_trampoline
thread_trampoline:
    mov rdi, rbx
    xor ebp, ebp
    call pvkernel_thread_start
    ud2

    .section .bss.boot_stack, "aw", @nobits
    .balign 4096
    .globl boot_stack_guard
boot_stack_guard:
    .skip 4096
    .skip 131072
    .globl boot_stack_top
boot_stack_top:
    .text
