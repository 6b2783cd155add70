# The ways in through the interrupt descriptor table.
#
# Who jumps here: the processor, through 256 gates, interrupts off. From ring 3 it has switched to
# this CPU's stack (RSP0 = end of GuestRegs), so that its pushes land in GuestRegs; from ring 0 it
# pushes below the present rsp, rounded down to 16. NMI, #DB, #DF and #MC have stacks of their own.
# Each stub completes the error code and vector fields, then a common part saves the registers.
# Who runs next: a hook of the image, then hv_exit_to_guest; or, from ring 0, hv_trap_ring0.

    .section .text.entry, "ax"

    .macro hv_stub vector, common
    .p2align 4
    .if (\vector == 8) || (\vector >= 10 && \vector <= 14) || (\vector == 17) || (\vector == 21) || (\vector == 29) || (\vector == 30)
    .else
    push 0
    .endif
    # mov dword ptr [rsp + 4], vector: as bytes, because the assembler takes a symbol for an address.
    .byte 0xc7, 0x44, 0x24, 0x04
    .long \vector
    jmp \common
    .endm

# One stub every 16 bytes, in the order of the vectors; entry/idt.rs computes their addresses. Those
# of NMI, #DB, #DF and #MC are not used.
    .p2align 4
    .global hv_trap_stubs
hv_trap_stubs:
    .set hv_stub_nr, 0
    .rept 32
    hv_stub hv_stub_nr, hv_trap
    .set hv_stub_nr, hv_stub_nr + 1
    .endr
    .rept 224
    .if hv_stub_nr == 0x80
    hv_stub hv_stub_nr, hv_trap
    .else
    hv_stub hv_stub_nr, hv_irq
    .endif
    .set hv_stub_nr, hv_stub_nr + 1
    .endr
    .p2align 4
    .global hv_trap_stubs_end
hv_trap_stubs_end:

# Exceptions, and int 0x80.
    .type hv_trap, @function
hv_trap:
    sub rsp, {RIP} - 8
hv_trap_saved:
    hv_save_regs
    cld
    hv_clac
    test byte ptr [rsp + {CS}], 3
    jz 2f
    lea rdi, [rsp + {REGS}]
    mov esi, [rsp + {VECTOR}]
    call [rip + HV_HOOKS + {HOOK_EXCEPTION}]
    jmp hv_exit_to_guest
2:
    lea rdi, [rsp + {REGS}]
    call hv_trap_ring0
    test eax, eax
    jz hv_resume_ring0
    # The iretq of hv_exit_iret faulted. hv_trap_ring0 has rebuilt the guest's registers in CpuInfo.
    or rsp, {STACK_MASK}
    sub rsp, {CPUINFO_SIZE} - 1
    lea rdi, [rsp + {REGS}]
    mov esi, [rsp + {VECTOR}]
    call [rip + HV_HOOKS + {HOOK_IRET_FAULT}]
    jmp hv_exit_to_guest
    .size hv_trap, . - hv_trap

# External interrupts: of a guest, or of the idle loop, which is the only place of the hypervisor
# that enables them.
    .type hv_irq, @function
hv_irq:
    sub rsp, {RIP} - 8
    hv_save_regs
    cld
    hv_clac
    mov edi, [rsp + {VECTOR}]
    call hv_interrupt
    test byte ptr [rsp + {CS}], 3
    jnz hv_exit_to_guest
    # Falls through.
hv_resume_ring0:
    hv_load_most_regs
    mov rcx, [rsp + {RCX}]
    mov r11, [rsp + {R11}]
    add rsp, {RIP}
    iretq
    .size hv_irq, . - hv_irq

# #DB, on its own stack: after "mov ss" a guest's watchpoint can be reported at the first
# instruction of hv_syscall64, when rsp may still be the guest's. Those are dropped. From ring 3 the
# frame moves to the CPU's stack and is an exception like any other.
    .type hv_debug_trap, @function
    .global hv_debug_trap
hv_debug_trap:
    test byte ptr [rsp + 8], 3
    jnz 2f
    and dword ptr [rsp + 16], ~{FLAG_TF}
    iretq
2:
    push rax
    push rcx
    mov rax, rsp
    or rax, {STACK_MASK}
    sub rax, {CPUINFO_SIZE} - 1
    mov rcx, [rsp + 16]
    mov [rax + {RIP}], rcx
    mov rcx, [rsp + 24]
    mov [rax + {CS}], rcx
    mov rcx, [rsp + 32]
    mov [rax + {RFLAGS}], rcx
    mov rcx, [rsp + 40]
    mov [rax + {RSP}], rcx
    mov rcx, [rsp + 48]
    mov [rax + {SS}], rcx
    mov dword ptr [rax + {ERROR_CODE}], 0
    mov dword ptr [rax + {VECTOR}], 1
    pop rcx
    pop qword ptr [rax + {RAX}]
    mov rsp, rax
    mov rax, [rsp + {RAX}]
    jmp hv_trap_saved
    .size hv_debug_trap, . - hv_debug_trap

# NMI, on its own stack. Touches no register. Its one use is to stop the other CPUs for a panic.
    .type hv_nmi, @function
    .global hv_nmi
hv_nmi:
    cmp dword ptr [rip + HV_PANICKING], 0
    jne 2f
    lock inc dword ptr [rip + HV_NMI_COUNT]
    iretq
2:
    cli
    hlt
    jmp 2b
    .size hv_nmi, . - hv_nmi

# #DF and #MC, on a stack of their own: nothing can be continued.
    .type hv_double_fault, @function
    .global hv_double_fault
hv_double_fault:
    mov dword ptr [rsp + 4], 8
    jmp 2f
    .global hv_machine_check
hv_machine_check:
    push 0
    mov dword ptr [rsp + 4], 18
2:
    sub rsp, {RIP} - 8
    hv_save_regs
    cld
    lea rdi, [rsp + {REGS}]
    call hv_fatal_trap
    ud2
    .size hv_double_fault, . - hv_double_fault
