# What makes an ELF file a guest: notes for whoever loads it, and the first instruction. The loader
# jumps to _start in kernel mode with paging on, the image mapped at BASE, rsi the start page, rsp
# the end of a stack of one page, and events masked. first_main never returns.
    .set BASE, 0xffffffff80000000
    .macro note type
    .long 4, 8, \type
    .asciz "Xen"
    .endm
    .section .note.Xen, "a", @note
    .balign 4
    note 5                          # XEN_VERSION: the interface it speaks
    .asciz "xen-3.0"
    note 8                          # LOADER: nothing special
    .asciz "generic"
    note 3                          # VIRT_BASE: where frame 0 of the domain is mapped
    .quad BASE
    note 4                          # PADDR_OFFSET: what the file's physical addresses begin with
    .quad BASE
    note 1                          # ENTRY: where it begins
    .quad _start
    .text
    .globl _start
_start:
    cld
    mov rdi, rsi
    call first_main
    ud2
