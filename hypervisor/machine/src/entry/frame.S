# Saving and loading of the general registers, shared by all ways in and out.
#
# Both macros expect rsp at the start of a CpuInfo block (GuestRegs 8 bytes above), or, inside an
# exception of the hypervisor itself, at a block of the same shape further down the stack. They
# change no flags and leave rsp alone. The offsets come from offset_of! in entry/mod.rs.

.macro hv_save_regs
    mov [rsp + {R15}], r15
    mov [rsp + {R14}], r14
    mov [rsp + {R13}], r13
    mov [rsp + {R12}], r12
    mov [rsp + {RBP}], rbp
    mov [rsp + {RBX}], rbx
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
    mov r10, [rsp + {R10}]
    mov r9, [rsp + {R9}]
    mov r8, [rsp + {R8}]
    mov rax, [rsp + {RAX}]
    mov rdx, [rsp + {RDX}]
    mov rsi, [rsp + {RSI}]
    mov rdi, [rsp + {RDI}]
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
