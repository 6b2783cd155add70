# Saving and loading of the general registers, shared by all ways in and out.
#
# Both macros expect rsp at the start of a CpuInfo block (GuestRegs 8 bytes above), or, inside an
# exception of the hypervisor itself, at a block of the same shape further down the stack. They
# change no flags and leave rsp alone. The offsets come from offset_of! in entry/mod.rs.

.macro hv_save_regs
    hv_save_kept_regs
    hv_save_argument_regs
.endm

# The registers that a Rust function hands back as it found them.
.macro hv_save_kept_regs
    mov [rsp + {R15}], r15
    mov [rsp + {R14}], r14
    mov [rsp + {R13}], r13
    mov [rsp + {R12}], r12
    mov [rsp + {RBP}], rbp
    mov [rsp + {RBX}], rbx
.endm

# All others.
.macro hv_save_argument_regs
    mov [rsp + {R11}], r11
    mov [rsp + {R10}], r10
    mov [rsp + {R9}], r9
    mov [rsp + {R8}], r8
    mov [rsp + {RAX}], rax
    mov [rsp + {RCX}], rcx
    mov [rsp + {RDX}], rdx
    mov [rsp + {RSI}], rsi
    mov [rsp + {RDI}], rdi
.endm

# All but rcx and r11, which the two ways out need for different things.
.macro hv_load_most_regs
    mov r15, [rsp + {R15}]
    mov r14, [rsp + {R14}]
    mov r13, [rsp + {R13}]
    mov r12, [rsp + {R12}]
    mov rbp, [rsp + {RBP}]
    mov rbx, [rsp + {RBX}]
    hv_load_argument_regs
.endm

# Those of them that a Rust function does not preserve.
.macro hv_load_argument_regs
    mov r10, [rsp + {R10}]
    mov r9, [rsp + {R9}]
    mov r8, [rsp + {R8}]
    mov rax, [rsp + {RAX}]
    mov rdx, [rsp + {RDX}]
    mov rsi, [rsp + {RSI}]
    mov rdi, [rsp + {RDI}]
.endm

# Goes to \busy when something is to be done before the guest runs. The upcall is deliverable when the
# pending byte is set and the mask byte above it is not: the halfword is then 1 to 255.
.macro hv_check_work busy
    cmp dword ptr [rsp + {WORK}], 0
    jne \busy
    mov rax, [rsp + {UPCALL_PAIR}]
    movzx eax, word ptr [rax]
    dec eax
    cmp eax, 0xfe
    jbe \busy
.endm

# Loads rcx and r11 for sysret, or goes to \unusual where sysret is not possible. An address that
# is not canonical would fault in ring 0 on some processors, on a stack of the guest's choice.
.macro hv_prepare_sysret unusual
    cmp dword ptr [rsp + {VECTOR}], {VECTOR_SYSCALL_EXIT}
    jne \unusual
    mov rcx, [rsp + {RIP}]
    shl rcx, 16
    sar rcx, 16
    cmp rcx, [rsp + {RIP}]
    jne \unusual
    mov r11, [rsp + {RFLAGS}]
    and r11d, {FLAGS_ALLOWED}
    or r11d, {FLAGS_FORCED}
.endm

# Ends the permission to touch user pages that the guest's AC flag would give; removed at boot
# (cpu/smap.rs) where the CPU has no SMAP.
.macro hv_clac
771:
    clac
    .pushsection .hv_smap, "a"
    .quad 771b
    .popsection
.endm
