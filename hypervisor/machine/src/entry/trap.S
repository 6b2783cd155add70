# The ways in through the interrupt descriptor table.
#
# Who jumps here: the processor, through 256 gates, interrupts off. From ring 3 it has switched to
# this CPU's stack (RSP0 = end of GuestRegs), so that its pushes land in GuestRegs; from ring 0 it
# pushes below the present rsp, rounded down to 16. NMI, #DB, #DF and #MC have stacks of their own.
# Each stub completes the error code and vector fields, then a common part saves registers.
# Who runs next: a hook of the image, then hv_exit_to_guest; or, from ring 0, hv_trap_ring0.

    .section .text.entry, "ax"

    .macro hv_stub vector
    .p2align 4
    .if (\vector == 8) || (\vector >= 10 && \vector <= 14) || (\vector == 17) || (\vector == 21) || (\vector == 29) || (\vector == 30)
    .else
    push 0
    .endif
    # mov dword ptr [rsp + 4], vector: as bytes, because the assembler takes a symbol for an address.
    .byte 0xc7, 0x44, 0x24, 0x04
    .long \vector
    .if \vector == 1
    jmp hv_debug_trap
    .elseif \vector == 2
    jmp hv_nmi
    .elseif (\vector == 8) || (\vector == 18)
    jmp hv_fatal
    .elseif \vector == 13
    jmp hv_protection_fault
    .elseif \vector == 14
    jmp hv_page_fault
    .elseif (\vector < 32) || (\vector == 0x80)
    jmp hv_trap
    .else
    jmp hv_irq
    .endif
    .endm

# One stub every 16 bytes, in the order of the vectors; entry/idt.rs computes their addresses.
    .p2align 4
    .global hv_trap_stubs
hv_trap_stubs:
    .set hv_stub_nr, 0
    .rept 256
    hv_stub hv_stub_nr
    .set hv_stub_nr, hv_stub_nr + 1
    .endr
    # Fails where a stub has grown.
    .org hv_trap_stubs + 256 * {STUB_SIZE}

# The hook looks at an exception of the guest without the registers Rust preserves. What it cannot
# finish is looked at again, with all of them; otherwise they are still the guest's at the end.
    .macro hv_guest_trap hook
    cld
    hv_clac
    test byte ptr [rsp + {cs}], 3
    jz hv_ring0_trap
    hv_call_hook \hook
    test al, al
    jz hv_examine
    hv_check_work hv_unusual_exit, hv_unusual_exit
    hv_prepare_sysret hv_exit_iret_kept
    hv_load_argument_regs
    mov rsp, [rsp + {rsp}]
    sysretq
    .endm

# Page faults, the most frequent exception.
    .type hv_page_fault, @function
hv_page_fault:
    sub rsp, {rip} - 8
    hv_save_argument_regs
    hv_guest_trap {page_fault}
    .size hv_page_fault, . - hv_page_fault

# Other exceptions, and int 0x80.
    .type hv_trap, @function
hv_trap:
    sub rsp, {rip} - 8
hv_trap_framed:
    hv_save_argument_regs
    mov edx, [rsp + {vector}]
    hv_guest_trap {exception}
    .size hv_trap, . - hv_trap

# Protection faults, which are privileged instructions most of the time.
    .type hv_protection_fault, @function
hv_protection_fault:
    sub rsp, {rip} - 8
    hv_save_argument_regs
    cld
    hv_clac
    test byte ptr [rsp + {cs}], 3
    jz hv_ring0_trap
hv_examine:
    hv_save_kept_regs
    mov edx, [rsp + {vector}]
    hv_call_hook {examine}
    jmp hv_exit_to_guest
    .size hv_protection_fault, . - hv_protection_fault

    .type hv_ring0_trap, @function
hv_ring0_trap:
    hv_save_kept_regs
    lea rdi, [rsp + {regs}]
    call hv_trap_ring0
    test eax, eax
    jz hv_resume_ring0
    # The iretq of hv_exit_iret faulted. hv_trap_ring0 has rebuilt the guest's registers in CpuInfo.
    or rsp, {STACK_MASK}
    sub rsp, {CPUINFO_SIZE} - 1
    mov edx, [rsp + {vector}]
    hv_call_hook {iret_fault}
    jmp hv_exit_to_guest
    .size hv_ring0_trap, . - hv_ring0_trap

# External interrupts: of a guest, or of the idle loop, which is the only place of the hypervisor
# that enables them.
    .type hv_irq, @function
hv_irq:
    sub rsp, {rip} - 8
    hv_save_regs
    cld
    hv_clac
    mov edi, [rsp + {vector}]
    call hv_interrupt
    test byte ptr [rsp + {cs}], 3
    jnz hv_exit_to_guest
    # Falls through.
hv_resume_ring0:
    hv_load_kept_regs
    hv_load_rest_for_iret
    iretq
    .size hv_irq, . - hv_irq

# #DB, on its own stack: after "mov ss" a guest's watchpoint can be reported at the first
# instruction after syscall, when rsp may still be the guest's. Those are dropped. From ring 3 the
# frame moves to the CPU's stack and is an exception like any other.
    .type hv_debug_trap, @function
hv_debug_trap:
    test byte ptr [rsp + 16], 3
    jnz 2f
    and dword ptr [rsp + 24], ~{FLAG_TF}
    add rsp, 8
    iretq
2:
    push rax
    push rcx
    mov rax, rsp
    or rax, {STACK_MASK}
    sub rax, {CPUINFO_SIZE} - 1
    # Error code and vector, rip, cs, rflags, rsp, ss.
    .irp word, 0, 1, 2, 3, 4, 5
    mov rcx, [rsp + 16 + 8 * \word]
    mov [rax + {error_code} + 8 * \word], rcx
    .endr
    pop rcx
    pop qword ptr [rax + {rax}]
    mov rsp, rax
    mov rax, [rsp + {rax}]
    jmp hv_trap_framed
    .size hv_debug_trap, . - hv_debug_trap

# NMI, on its own stack. Touches no register. Its one use is to stop the other CPUs for a panic.
    .type hv_nmi, @function
hv_nmi:
    add rsp, 8
    cmp dword ptr [rip + HV_PANICKING], 0
    jne 2f
    iretq
2:
    cli
    hlt
    jmp 2b
    .size hv_nmi, . - hv_nmi

# #DF and #MC, on a stack of their own: nothing can be continued.
    .type hv_fatal, @function
hv_fatal:
    sub rsp, {rip} - 8
    hv_save_regs
    cld
    lea rdi, [rsp + {regs}]
    call hv_fatal_trap
    ud2
    .size hv_fatal, . - hv_fatal
