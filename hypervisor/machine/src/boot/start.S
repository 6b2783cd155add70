# From the boot loader, or from a start-up interrupt, to 64-bit Rust.
#
# hv_start32: the boot loader jumps here (physical address, 32-bit protected mode, flat segments, no
# paging, interrupts off, eax = magic, ebx = information). hv_ap_trampoline: copied to a page below
# 1 MiB, where the other CPUs start in real mode. Both meet in hv_enable_long with edi = 0 for the
# boot processor, and go on in the high half: the first CPU to hv_boot on the boot stack, the others
# to hv_ap_main on their own.
#
# The tables built here map the first GiB twice, at 0 and at KBASE. The boot processor replaces them
# soon; they stay for the start of the others.

    .set KBASE, {IMAGE_BASE}

    .section .boot.header, "a"
    .p2align 3
hv_multiboot1:
    .long {MB1_MAGIC}
    .long {MB1_FLAGS}
    .long -({MB1_MAGIC} + {MB1_FLAGS})
    .long hv_multiboot1 - KBASE
    .long hv_image_start - KBASE
    .long hv_image_load_end - KBASE
    .long hv_image_end - KBASE
    .long hv_start32 - KBASE

    .p2align 3
hv_multiboot2:
    .long {MB2_MAGIC}
    .long 0
    .long hv_multiboot2_end - hv_multiboot2
    .long -({MB2_MAGIC} + (hv_multiboot2_end - hv_multiboot2))
    # Address tag: where this header, the image and its zeroed part are.
    .short 2, 0
    .long 24
    .long hv_multiboot2 - KBASE
    .long hv_image_start - KBASE
    .long hv_image_load_end - KBASE
    .long hv_image_end - KBASE
    # Entry tag.
    .short 3, 0
    .long 12
    .long hv_start32 - KBASE
    .p2align 3
    # Modules start on pages.
    .short 6, 0
    .long 8
    .short 0, 0
    .long 8
hv_multiboot2_end:

    .section .boot.text, "ax"
    .code32
    .global hv_start32
    .type hv_start32, @function
hv_start32:
    cli
    cld
    movl %eax, hv_boot_magic - KBASE
    movl %ebx, hv_boot_info - KBASE
    rdtsc
    movl %eax, hv_boot_tsc - KBASE
    movl %edx, hv_boot_tsc - KBASE + 4

    # Boot tables: 512 large pages; slot 0 and the image's slot lead to the same table.
    movl $(hv_boot_l2 - KBASE), %edi
    movl $({PRESENT} + {WRITE} + {LARGE}), %eax
    movl $512, %ecx
1:  movl %eax, (%edi)
    addl $0x200000, %eax
    addl $8, %edi
    decl %ecx
    jnz 1b
    movl $(hv_boot_l2 - KBASE + {PRESENT} + {WRITE}), hv_boot_l3 - KBASE
    movl $(hv_boot_l2 - KBASE + {PRESENT} + {WRITE}), hv_boot_l3 - KBASE + 8 * {IMAGE_L3_INDEX}
    movl $(hv_boot_l3 - KBASE + {PRESENT} + {WRITE}), hv_boot_l4 - KBASE
    movl $(hv_boot_l3 - KBASE + {PRESENT} + {WRITE}), hv_boot_l4 - KBASE + 8 * {IMAGE_L4_INDEX}
    lgdt hv_boot_gdt_pointer - KBASE
    xorl %edi, %edi
    .byte 0xea
    .long hv_enable_long - KBASE
    .word 8
    .size hv_start32, . - hv_start32

# 32-bit, flat segments of hv_boot_gdt; edi = 0 for the boot processor.
    .type hv_enable_long, @function
hv_enable_long:
    movw $16, %ax
    movw %ax, %ds
    movw %ax, %es
    movw %ax, %ss
    movl $0x80000001, %eax
    cpuid
    btl $29, %edx
    jnc 2f
    movl %edx, %esi
    movl %cr4, %eax
    orl ${CR4_PAE}, %eax
    movl %eax, %cr4
    movl $(hv_boot_l4 - KBASE), %eax
    movl %eax, %cr3
    movl $0xc0000080, %ecx
    rdmsr
    # System calls and long mode; no-execute where there is.
    orl $0x101, %eax
    btl $20, %esi
    jnc 1f
    orl $0x800, %eax
1:  wrmsr
    movl %cr0, %eax
    orl $0x80010001, %eax
    andl $0x9fffffff, %eax
    movl %eax, %cr0
    .byte 0xea
    .long hv_start64 - KBASE
    .word 24
2:  # No 64-bit mode: nothing to be done, and nobody to tell.
    hlt
    jmp 2b
    .size hv_enable_long, . - hv_enable_long

    .code64
hv_start64:
    movabsq $hv_start_high, %rax
    jmp *%rax

# Real mode, cs = the page this was copied to.
    .code16
    .global hv_ap_trampoline
hv_ap_trampoline:
    cli
    cld
    movw %cs, %ax
    movw %ax, %ds
    # 24 bits of address are enough for the table.
    lgdt hv_ap_gdt_pointer - hv_ap_trampoline
    movl %cr0, %eax
    orl $1, %eax
    movl %eax, %cr0
    .byte 0x66, 0xea
    .long hv_ap_start32 - KBASE
    .word 8
    .p2align 2
hv_ap_gdt_pointer:
    .word hv_boot_gdt_end - hv_boot_gdt - 1
    .long hv_boot_gdt - KBASE
    .global hv_ap_trampoline_end
hv_ap_trampoline_end:

    .code32
hv_ap_start32:
    movl $1, %edi
    jmp hv_enable_long
    .code64

# At its linked address; in a part of the image that stays executable when the tables change.
    .section .text.entry, "ax"
    .type hv_start_high, @function
hv_start_high:
    testl %edi, %edi
    jnz 4f
    leaq hv_boot_stack + {STACK_SIZE} - {CPUINFO_SIZE}(%rip), %rsp
    movl hv_boot_magic(%rip), %edi
    movl hv_boot_info(%rip), %esi
    movq hv_boot_tsc(%rip), %rdx
    xorl %ebp, %ebp
    call hv_boot
    ud2
4:  # Another CPU: its place in the list of APIC numbers is its number.
    movl $1, %eax
    cpuid
    shrl $24, %ebx
    leaq HV_APIC_IDS(%rip), %rsi
    xorl %edi, %edi
5:  cmpl ${MAX_CPUS}, %edi
    jae 6f
    cmpl %ebx, (%rsi, %rdi, 4)
    je 7f
    incl %edi
    jmp 5b
6:  # Unknown: not wanted.
    cli
    hlt
    jmp 6b
7:  movq HV_AP_ROOT(%rip), %rax
    movq %rax, %cr3
    movabsq ${PERCPU_STRIDE}, %rax
    imulq %rdi, %rax
    movabsq ${FIRST_STACK_HEAD}, %rsp
    addq %rax, %rsp
    xorl %ebp, %ebp
    call hv_ap_main
    ud2
    .size hv_start_high, . - hv_start_high

    .section .boot.data, "aw"
    .p2align 3
hv_boot_gdt:
    .quad 0
    .quad 0x00cf9b000000ffff
    .quad 0x00cf93000000ffff
    .quad 0x00af9b000000ffff
hv_boot_gdt_end:
hv_boot_gdt_pointer:
    .word hv_boot_gdt_end - hv_boot_gdt - 1
    .long hv_boot_gdt - KBASE
    .p2align 3
hv_boot_tsc:
    .quad 0
hv_boot_magic:
    .long 0
hv_boot_info:
    .long 0

    .section .bss.boot_stack, "aw", @nobits
    .p2align 15
    .global hv_boot_stack
hv_boot_stack:
    .skip {STACK_SIZE}
hv_boot_l4:
    .skip 4096
hv_boot_l3:
    .skip 4096
hv_boot_l2:
    .skip 4096
    .text
