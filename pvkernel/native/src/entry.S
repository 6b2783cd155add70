# Ways into the kernel and out of it, and the switch between threads.
#
# _start            from the boot loader (multiboot): physical address, 32-bit mode, flat segments, no
#                   paging, interrupts off; eax = magic, ebx = its information. Makes tables that map
#                   the first GiB at 0 and at VIRT_BASE, turns 64-bit mode on, and goes on in the upper
#                   half. The time stamp counter is read first: it tells when the machine began to run.
# trap_stub_N       from the processor for exception or interrupt N, interrupts off. From the kernel:
#                   on the stack that was running. From a program: on trap_user_frame, to which the
#                   task state points for good. NMI and double fault have stacks of their own.
# pvkernel_user_enter  called from Rust as a normal function, interrupts off. Runs a program until a trap
#                   or a system call, and returns its number, interrupts still off.
# user_syscall      from `syscall` in a program, on the program's stack, interrupts off. Calls whose
#                   answer is ready go back at once.
# context_switch    called from Rust as a normal function.
#
# All traps build one frame (struct TrapFrame in trap.rs ties its size and order). Those of the kernel
# call pvkernel_trap(frame) and return to what was interrupted; every register comes back. Those of a
# program leave the frame where it is and return from pvkernel_user_enter.

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
    movabs rax, offset start_high
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

    .section .text.entry, "ax", @progbits
start_high:
    mov edx, esp
    shl rdx, 32
    mov eax, ebp
    or rdx, rax                         # third argument
    lea rsp, [rip + boot_stack_top]
    xor ebp, ebp
    call pvkernel_start
    ud2

    # The stubs. Vectors 8, 10 to 14, 17, 21, 29 and 30 come with an error code.
    .macro trap_stub vector
    .balign 16
trap_stub_\vector:
    .if (\vector == 8) || ((\vector >= 10) && (\vector <= 14)) || (\vector == 17) || (\vector == 21) || (\vector == 29) || (\vector == 30)
    .else
    push 0
    .endif
    push \vector
    .if (\vector == 2) || (\vector == 8)
    jmp trap_fatal
    .else
    jmp trap_common
    .endif
    .endm

    .altmacro
    .set n, 0
    .rept 64
    trap_stub %n
    .set n, n + 1
    .endr
    trap_stub 255

    .macro push_registers
    push rdi
    push rsi
    push rdx
    push rcx
    push rax
    push r8
    push r9
    push r10
    push r11
    push rbx
    push rbp
    push r12
    push r13
    push r14
    push r15
    .endm

    .balign 16
trap_common:
    push_registers
    test byte ptr [rsp + 144], 3        # the code segment's ring
    jnz trap_from_user
trap_from_kernel:
    cld
    mov rdi, rsp
    mov rbp, rsp
    and rsp, -16
    call pvkernel_trap
    mov rsp, rbp
    pop r15
    pop r14
    pop r13
    pop r12
    pop rbp
    pop rbx
    pop r11
    pop r10
    pop r9
    pop r8
    pop rax
    pop rcx
    pop rdx
    pop rsi
    pop rdi
    add rsp, 16                         # vector and error
    iretq

trap_fatal:                             # on a stack of its own, whatever was interrupted
    push_registers
    jmp trap_from_kernel

trap_from_user:                         # rsp = trap_user_frame
    mov eax, [rsp + 120]                # the vector
    mov rsp, [rip + user_stack]
    push 2                              # the program's flags are not the kernel's
    popfq
    jmp user_exit

    # pvkernel_user_enter(registers: rdi = *mut UserRegs, by_sysret: esi) -> eax = vector
    # The offsets are those of UserRegs in pvkernel-core.
    .balign 16
    .globl pvkernel_user_enter
    .type pvkernel_user_enter, @function
pvkernel_user_enter:
    push rbp
    push rbx
    push r12
    push r13
    push r14
    push r15
    push rdi
    mov [rip + user_stack], rsp
    mov r15, [rdi]
    mov r14, [rdi + 8]
    mov r13, [rdi + 16]
    mov r12, [rdi + 24]
    mov rbp, [rdi + 32]
    mov rbx, [rdi + 40]
    mov r10, [rdi + 56]
    mov r9, [rdi + 64]
    mov r8, [rdi + 72]
    mov rax, [rdi + 80]
    mov rdx, [rdi + 96]
    test esi, esi
    mov rsi, [rdi + 104]
    jz 1f
    mov rcx, [rdi + 120]                # rip
    mov r11, [rdi + 128]                # rflags
    mov rsp, [rdi + 136]
    mov rdi, [rdi + 112]
    sysretq
1:  push USER_SS
    push [rdi + 136]
    push [rdi + 128]
    push USER_CS
    push [rdi + 120]
    mov r11, [rdi + 48]
    mov rcx, [rdi + 88]
    mov rdi, [rdi + 112]
    iretq

    .balign 16
    .globl user_syscall
user_syscall:                           # rcx = rip, r11 = rflags of the program
    cmp rax, ANSWERS
    jae 2f
    mov [rip + user_rax], rax
    mov rax, [rax * 8 + PVKERNEL_USER_ANSWERS]
    test rax, rax
    js 1f
    sysretq                             # the answer was ready, and nothing else has changed
1:  mov rax, [rip + user_rax]
2:  mov [rip + user_sp], rsp
    mov rsp, [rip + user_stack]
    push rdi
    mov rdi, [rsp + 8]
    mov [rdi], r15
    mov [rdi + 8], r14
    mov [rdi + 16], r13
    mov [rdi + 24], r12
    mov [rdi + 32], rbp
    mov [rdi + 40], rbx
    mov [rdi + 48], r11
    mov [rdi + 56], r10
    mov [rdi + 64], r9
    mov [rdi + 72], r8
    mov [rdi + 80], rax
    mov [rdi + 88], rcx
    mov [rdi + 96], rdx
    mov [rdi + 104], rsi
    pop [rdi + 112]
    mov [rdi + 120], rcx
    mov [rdi + 128], r11
    mov rax, [rip + user_sp]
    mov [rdi + 136], rax
    mov eax, SYSCALL

user_exit:                              # rsp = user_stack
    add rsp, 8
    pop r15
    pop r14
    pop r13
    pop r12
    pop rbx
    pop rbp
    ret
    .size pvkernel_user_enter, . - pvkernel_user_enter

    # context_switch(save: rdi = *mut usize, load: rsi = usize)
    # Saves what the calling convention preserves, stores the stack pointer, and continues on the
    # other stack, which was left by this routine or prepared by thread.rs.
    .balign 16
    .globl context_switch
    .type context_switch, @function
context_switch:
    push rbp
    push rbx
    push r12
    push r13
    push r14
    push r15
    mov [rdi], rsp
    mov rsp, rsi
    pop r15
    pop r14
    pop r13
    pop r12
    pop rbx
    pop rbp
    ret
    .size context_switch, . - context_switch

    # First code of a new thread; rbx = index of its context. The stack is 16-byte aligned here.
    .globl thread_trampoline
thread_trampoline:
    mov rdi, rbx
    xor ebp, ebp
    call pvkernel_thread_start
    ud2

    .section .rodata.trap_stubs, "a", @progbits
    .balign 8
    .globl trap_stubs
trap_stubs:
    .macro trap_stub_address vector
    .quad trap_stub_\vector
    .endm
    .set n, 0
    .rept 64
    trap_stub_address %n
    .set n, n + 1
    .endr
    trap_stub_address 255
    .noaltmacro

    .section .bss.user, "aw", @nobits
    .balign 16
    .globl trap_user_frame
trap_user_frame:                        # TrapFrame of the last trap of a program; ends on 16 bytes
    .skip 176
    .globl trap_user_frame_end
trap_user_frame_end:
user_stack:                             # where pvkernel_user_enter has left the kernel's stack
    .skip 8
user_sp:                                # the program's, for a moment
    .skip 8
user_rax:                               # likewise
    .skip 8

    .section .bss.boot_stack, "aw", @nobits
    .balign 4096
    .globl boot_stack_guard
boot_stack_guard:
    .skip 4096
    .skip 131072
    .globl boot_stack_top
boot_stack_top:
boot_l4:
    .skip 4096
boot_l3:
    .skip 4096
boot_l2:
    .skip 4096
    .text
