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
# For those that have not completed the frame, where more is to be done than usual.
hv_unusual_exit:
    hv_save_kept_regs
    .type hv_exit_to_guest, @function
    .global hv_exit_to_guest
hv_exit_to_guest:
    hv_check_work 2f, 4f
5:
    hv_prepare_sysret hv_exit_iret
    hv_load_kept_regs
    hv_load_argument_regs
    cmp word ptr [rsp + {cs}], {USER_CS32}
    mov rsp, [rsp + {rsp}]
    je 3f
    sysretq
4:
    hv_check_mask 5b
2:
    hv_call_hook {exit_work}
    jmp hv_exit_to_guest
3:
    sysret
    .size hv_exit_to_guest, . - hv_exit_to_guest

# By iretq, which loads everything as the frame says. A fault of that one instruction means bad
# selectors or a bad address of the guest; hv_trap_ring0 recognises it by hv_iret_insn.
# hv_exit_iret_kept is for those who know that the registers Rust preserves are the guest's.
    .type hv_exit_iret, @function
hv_exit_iret:
    hv_load_kept_regs
hv_exit_iret_kept:
    or byte ptr [rsp + {cs}], 3
    or byte ptr [rsp + {ss}], 3
    and qword ptr [rsp + {rflags}], {FLAGS_ALLOWED}
    or qword ptr [rsp + {rflags}], {FLAGS_FORCED}
    hv_load_rest_for_iret
    .global hv_iret_insn
hv_iret_insn:
    iretq
    .size hv_exit_iret, . - hv_exit_iret
