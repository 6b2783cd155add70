# The way back to the guest: hv_exit_to_guest.
#
# Who jumps here: every way in when its handler has returned, and the boot code of each CPU.
# State: ring 0, interrupts off, rsp = CpuInfo of this CPU; the guest's registers are in it.
# Nothing is preserved; the guest runs next.
#
# Work is re-checked until there is none, so whatever a handler raised is seen before the guest
# runs. Interrupts stay off from the check to the last instruction.
#
# Whatever the image has put into the frame, the guest is entered in ring 3, with interrupts on and
# without I/O privilege: the selectors and flags are forced here.

    .section .text.entry, "ax"
    .type hv_exit_to_guest, @function
    .global hv_exit_to_guest
hv_exit_to_guest:
    hv_check_work 2f
    hv_prepare_sysret hv_exit_iret
    cmp word ptr [rsp + {CS}], {USER_CS32}
    je hv_exit_sysret32
    hv_load_most_regs
    mov rsp, [rsp + {RSP}]
    sysretq
2:
    lea rdi, [rsp + {REGS}]
    call [rip + HV_HOOKS + {HOOK_EXIT_WORK}]
    jmp hv_exit_to_guest
hv_exit_sysret32:
    hv_load_most_regs
    mov rsp, [rsp + {RSP}]
    sysret
    .size hv_exit_to_guest, . - hv_exit_to_guest

# By iretq, which loads everything as the frame says. A fault of that one instruction means bad
# selectors or a bad address of the guest; hv_trap_ring0 recognises it by hv_iret_insn.
    .type hv_exit_iret, @function
hv_exit_iret:
    or byte ptr [rsp + {CS}], 3
    or byte ptr [rsp + {SS}], 3
    and qword ptr [rsp + {RFLAGS}], {FLAGS_ALLOWED}
    or qword ptr [rsp + {RFLAGS}], {FLAGS_FORCED}
    hv_load_most_regs
    mov rcx, [rsp + {RCX}]
    mov r11, [rsp + {R11}]
    add rsp, {RIP}
    .global hv_iret_insn
hv_iret_insn:
    iretq
    .size hv_exit_iret, . - hv_exit_iret

# First entry of a CPU into the loop above: rdi = its CpuInfo. Never returns.
    .type hv_enter_exit_loop, @function
    .global hv_enter_exit_loop
hv_enter_exit_loop:
    mov rsp, rdi
    jmp hv_exit_to_guest
    .size hv_enter_exit_loop, . - hv_enter_exit_loop

# Continues on another stack: rdi = its top (a CpuInfo), rsi = function to call, which does not
# return; rdx = its argument.
    .type hv_call_on_stack, @function
    .global hv_call_on_stack
hv_call_on_stack:
    mov rsp, rdi
    xor ebp, ebp
    mov rdi, rdx
    call rsi
    ud2
    .size hv_call_on_stack, . - hv_call_on_stack
