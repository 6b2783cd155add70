# From the boot loader to 64-bit mode, in the upper half.
#
# multiboot_header  what the loader reads. The domain builder's counterpart is in the other backend's notes.S.
# _start            from the boot loader (multiboot): physical address, 32-bit mode, flat segments, no
#                   paging, interrupts off; eax = magic, ebx = its information. Makes tables that map
#                   the first GiB at 0 and at VIRT_BASE, turns 64-bit mode on, and goes on at start in
#                   entry.S with edi = magic, esi = information, esp and ebp = the time stamp counter, which is
#                   read first: it tells when the machine began to run.

    .section .boot.header, "a"
    .balign 4
multiboot_header:
    .long 0x1badb002
    .long 0x10003                       # modules on pages, memory map, address fields
    .long -(0x1badb002 + 0x10003)
    .long multiboot_header - VIRT_BASE
    .long image_start - VIRT_BASE
    .long image_load_end - VIRT_BASE
    .long image_end - VIRT_BASE
    .long _start - VIRT_BASE

    .section .boot.text, "ax", @progbits
    .code32
    .globl _start
    .type _start, @function
_start:
    cli
    cld
    mov edi, eax                        # kept until the call: magic,
    mov esi, ebx                        # information,
    rdtsc
    mov ebp, eax                        # and the counter, which needs esp: there is no stack yet
    mov esp, edx

    mov ebx, offset boot_l2 - VIRT_BASE
    mov eax, 0x83                       # large page, writable, present
    mov ecx, 512
1:  mov [ebx], eax
    add eax, 0x200000
    add ebx, 8
    dec ecx
    jnz 1b
    mov ecx, offset boot_l2 - VIRT_BASE + 3
    mov ebx, offset boot_l3 - VIRT_BASE
    mov [ebx], ecx
    mov [ebx + 8 * 510], ecx
    lea ecx, [ebx + 3]
    mov ebx, offset boot_l4 - VIRT_BASE
    mov [ebx], ecx
    mov [ebx + 8 * 511], ecx
    mov cr3, ebx

    mov eax, 0x80000001
    cpuid
    bt edx, 29
    jnc 3f
    mov ebx, edx
    mov eax, 0x20                       # CR4: long entries
    mov cr4, eax
    mov ecx, 0xc0000080                 # EFER: system calls and long mode, no-execute if there is
    rdmsr
    or eax, 0x101
    bt ebx, 20
    jnc 2f
    or eax, 0x800
2:  wrmsr
    mov eax, 0x80010033                 # CR0, as in cpu.rs
    mov cr0, eax
    mov eax, offset boot_gdt_pointer - VIRT_BASE
    lgdt [eax]
    .byte 0xea
    .long start64 - VIRT_BASE
    .word 8
3:  hlt                                 # no 64-bit mode, and nobody to tell
    jmp 3b

    .code64
start64:
    mov eax, 16
    mov ss, eax
    movabs rax, offset start
    jmp rax

    .balign 8
boot_gdt:
    .quad 0
    .quad 0x00af9b000000ffff
    .quad 0x00cf93000000ffff
boot_gdt_pointer:
    .word boot_gdt_pointer - boot_gdt - 1
    .long boot_gdt - VIRT_BASE
    .size _start, . - _start

    .section .bss.boot_tables, "aw", @nobits
    .balign 4096
boot_l4:
    .skip 4096
boot_l3:
    .skip 4096
boot_l2:
    .skip 4096
    .text
