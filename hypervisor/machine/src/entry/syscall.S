# The ways in by syscall and sysenter.
#
# Who jumps here: the stubs in the CPU's own page (entry/stubs.rs), which have stored the guest's
# rsp into this CPU's GuestRegs and loaded rsp with this CPU's CpuInfo; sysenter comes directly,
# with rsp = CpuInfo from its MSR.
# State: ring 0, interrupts off. After syscall DF, TF, NT, RF and AC are clear by the flag mask,
# rcx = guest's rip, r11 = guest's flags, everything else is the guest's.
# Who runs next: a hook of the image, then hv_exit_to_guest.

    .section .text.entry, "ax"

    .type hv_syscall64, @function
    .global hv_syscall64
hv_syscall64:
    hv_save_argument_regs
    mov [rsp + {RIP}], rcx
    mov [rsp + {RFLAGS}], r11
    mov qword ptr [rsp + {CS}], {USER_CS64}
    mov qword ptr [rsp + {SS}], {USER_SS}
    mov dword ptr [rsp + {VECTOR}], {VECTOR_SYSCALL_EXIT}
    lea rdi, [rsp + {REGS}]
    cmp byte ptr [rsp + {KERNEL_MODE}], 0
    je 2f
    call [rip + HV_HOOKS + {HOOK_HYPERCALL}]
    # The common case of hv_exit_to_guest, for a guest that goes on in 64-bit code. The hook has
    # preserved rbx, rbp and r12 to r15, so they are neither saved nor loaded here: the hook can
    # neither see nor change them. Whoever does, does it in exit_work.
    hv_check_work 3f
    hv_prepare_sysret 3f
    hv_load_argument_regs
    mov rsp, [rsp + {RSP}]
    sysretq
2:
    hv_save_kept_regs
    xor esi, esi
    call [rip + HV_HOOKS + {HOOK_SYSCALL}]
    jmp hv_exit_to_guest
3:
    # Something unusual: complete the frame and take the long way.
    hv_save_kept_regs
    jmp hv_exit_to_guest
    .size hv_syscall64, . - hv_syscall64

    .type hv_syscall32, @function
    .global hv_syscall32
hv_syscall32:
    hv_save_regs
    mov [rsp + {RIP}], rcx
    mov [rsp + {RFLAGS}], r11
    mov qword ptr [rsp + {CS}], {USER_CS32}
    mov qword ptr [rsp + {SS}], {USER_SS}
    mov dword ptr [rsp + {VECTOR}], {VECTOR_SYSCALL_EXIT}
    lea rdi, [rsp + {REGS}]
    mov esi, 1
    call [rip + HV_HOOKS + {HOOK_SYSCALL}]
    jmp hv_exit_to_guest
    .size hv_syscall32, . - hv_syscall32

# sysenter clears only IF: the rest of the flags is still the guest's, and neither its rip nor its
# rsp is known. With TF set a #DB arrives first; hv_debug_trap clears the flag.
    .type hv_sysenter, @function
    .global hv_sysenter
hv_sysenter:
    pushfq
    push 2
    popfq
    pop qword ptr [rsp + {RFLAGS}]
    hv_save_regs
    mov qword ptr [rsp + {RIP}], 0
    mov qword ptr [rsp + {CS}], 3
    mov qword ptr [rsp + {RSP}], 0
    mov qword ptr [rsp + {SS}], {USER_SS}
    mov dword ptr [rsp + {VECTOR}], {VECTOR_SYSCALL_EXIT}
    lea rdi, [rsp + {REGS}]
    mov esi, 2
    call [rip + HV_HOOKS + {HOOK_SYSCALL}]
    jmp hv_exit_to_guest
    .size hv_sysenter, . - hv_sysenter
