# The ways in by syscall and sysenter.
#
# Who jumps here: the processor, interrupts off, on the guest's stack (syscall), or with rsp = CpuInfo
# from its MSR (sysenter). After syscall DF, TF, NT, RF and AC are clear by the flag mask, rcx =
# guest's rip, r11 = guest's flags, everything else is the guest's.
# Who runs next: a hook of the image, then hv_exit_to_guest.

    .section .text.entry, "ax"

# syscall changes neither rsp nor GS, and GS belongs to the guest here, so the only thing that differs
# between CPUs at that moment is the address they jump to. This page is shown in the window of every
# CPU, each at an address of its own, and finds the CPU's stack relative to that address. It may not
# reach anything else by relative addresses, hence the jumps through memory.
    .p2align 12
    .global hv_syscall_stubs
hv_syscall_stubs:
    mov [rip + hv_syscall_stubs + {STUBS_TO_RSP}], rsp
    lea rsp, [rip + hv_syscall_stubs + {STUBS_TO_INFO}]
    jmp qword ptr [rip + hv_syscall64_pointer]
    .org hv_syscall_stubs + {STUB32}
    mov [rip + hv_syscall_stubs + {STUBS_TO_RSP}], rsp
    lea rsp, [rip + hv_syscall_stubs + {STUBS_TO_INFO}]
    jmp qword ptr [rip + hv_syscall32_pointer]
hv_syscall64_pointer:
    .quad hv_syscall64
hv_syscall32_pointer:
    .quad hv_syscall32

# The common case of hv_exit_to_guest, for a guest that goes on in 64-bit code. The hook has preserved
# rbx, rbp and r12 to r15, so they are neither saved nor loaded here: the hook can neither see nor
# change them. Whoever does, does it in exit_work.
    .macro hv_exit_called
    hv_check_work hv_unusual_exit, 8f
9:
    hv_prepare_sysret hv_exit_iret_kept
    hv_load_argument_regs
    mov rsp, [rsp + {rsp}]
    sysretq
8:
    hv_check_mask 9b
    hv_call_hook {event}
    # Once is enough: the handler that the guest is in now looks for all events.
    cmp dword ptr [rsp + {work}], 0
    je 66b
    jmp hv_unusual_exit
    .endm

    .type hv_syscall64, @function
hv_syscall64:
    hv_save_argument_regs
    mov [rsp + {rip}], rcx
    mov [rsp + {rflags}], r11
    mov qword ptr [rsp + {cs}], {USER_CS64}
    mov qword ptr [rsp + {ss}], {USER_SS}
    mov dword ptr [rsp + {vector}], {VECTOR_SYSCALL_EXIT}
    cmp byte ptr [rsp + {kernel_mode}], 0
    je 2f
    cmp rax, {NR_IRET}
    je 4f
    hv_call_hook {hypercall}
    hv_exit_called
2:
    hv_call_hook {syscall}
    hv_exit_called
4:
    hv_call_hook {iret}
    hv_exit_called
    .size hv_syscall64, . - hv_syscall64

    .type hv_syscall32, @function
hv_syscall32:
    hv_save_argument_regs
    mov [rsp + {rip}], rcx
    mov [rsp + {rflags}], r11
    mov qword ptr [rsp + {cs}], {USER_CS32}
    mov edx, 0
    jmp hv_fast_call_frame
    .size hv_syscall32, . - hv_syscall32

# sysenter clears only IF: the rest of the flags is still the guest's, and neither its rip nor its
# rsp is known. With TF set a #DB arrives first; hv_debug_trap clears the flag.
    .type hv_sysenter, @function
    .global hv_sysenter
hv_sysenter:
    pushfq
    push 2
    popfq
    pop qword ptr [rsp + {rflags}]
    hv_save_argument_regs
    mov qword ptr [rsp + {rip}], 0
    mov qword ptr [rsp + {cs}], 3
    mov qword ptr [rsp + {rsp}], 0
    mov edx, 1
hv_fast_call_frame:
    mov qword ptr [rsp + {ss}], {USER_SS}
    mov dword ptr [rsp + {vector}], {VECTOR_SYSCALL_EXIT}
    # edx = a SyscallKind; the frame lacks the registers that have been preserved so far.
    hv_save_kept_regs
    hv_call_hook {rare_syscall}
    jmp hv_exit_to_guest
    .size hv_sysenter, . - hv_sysenter
