# Saving and loading of the general registers, shared by all ways in and out.
#
# The macros expect rsp at the start of a CpuInfo block (GuestRegs 8 bytes above), or, inside an
# exception of the hypervisor itself, at a block of the same shape further down the stack. Those that
# save and load change no flags and leave rsp alone. Names in braces are offsets from that place; they
# come from offset_of! in entry/mod.rs.

# Stores registers that are neighbours in GuestRegs; `at` is the offset of the first one.
.macro hv_save at, regs:vararg
    .set hv_offset, \at
    .irp reg, \regs
    mov [rsp + hv_offset], \reg
    .set hv_offset, hv_offset + 8
    .endr
.endm

# The opposite.
.macro hv_load at, regs:vararg
    .set hv_offset, \at
    .irp reg, \regs
    mov \reg, [rsp + hv_offset]
    .set hv_offset, hv_offset + 8
    .endr
.endm

# The registers that a Rust function hands back as it found them.
.macro hv_save_kept_regs
    hv_save {r15}, r15, r14, r13, r12, rbp, rbx
.endm

# All others.
.macro hv_save_argument_regs
    hv_save {r11}, r11, r10, r9, r8, rax, rcx, rdx, rsi, rdi
.endm

.macro hv_save_regs
    hv_save_kept_regs
    hv_save_argument_regs
.endm

# The registers a Rust function does not preserve, but rcx and r11, which the two ways out need for
# different things.
.macro hv_load_argument_regs
    hv_load {r10}, r10, r9, r8, rax
    hv_load {rdx}, rdx, rsi, rdi
.endm

.macro hv_load_kept_regs
    hv_load {r15}, r15, r14, r13, r12, rbp, rbx
.endm

# All but those that Rust preserves, and leaves rsp as iretq wants it.
.macro hv_load_rest_for_iret
    hv_load_argument_regs
    hv_load {rcx}, rcx
    hv_load {r11}, r11
    add rsp, {rip}
.endm

# Goes to \busy when something is to be done before the guest runs, and to \pending when an event is
# pending; hv_check_mask at that place goes \on if the mask byte, above the pending byte, says so.
.macro hv_check_work busy, pending
    cmp dword ptr [rsp + {work}], 0
    jne \busy
    mov rax, [rsp + {vcpu_words}]
    cmp byte ptr [rax], 0
    jne \pending
.endm

.macro hv_check_mask on
    cmp byte ptr [rax + 1], 0
    jne \on
.endm

# Loads rcx and r11 for sysret, or goes to \unusual where sysret is not possible. An address that
# is not canonical would fault in ring 0 on some processors, on a stack of the guest's choice.
.macro hv_prepare_sysret unusual
    cmp dword ptr [rsp + {vector}], {VECTOR_SYSCALL_EXIT}
    jne \unusual
66: # For those who know that.
    mov rcx, [rsp + {rip}]
    shl rcx, 16
    sar rcx, 16
    cmp rcx, [rsp + {rip}]
    jne \unusual
    mov r11, [rsp + {rflags}]
    and r11d, {FLAGS_ALLOWED}
    or r11d, {FLAGS_FORCED}
.endm

# Calls a function of the image with the frame and what the image keeps about the guest.
.macro hv_call_hook hook
    lea rdi, [rsp + {regs}]
    mov rsi, [rsp + {current}]
    call [rip + HV_HOOKS + \hook]
.endm

# Ends the permission to touch user pages that the guest's AC flag would give; removed at boot
# (mem/fixups.rs) where the CPU has no SMAP.
.macro hv_clac
771:
    clac
    .pushsection .hv_smap, "a"
    .quad 771b
    .popsection
.endm
