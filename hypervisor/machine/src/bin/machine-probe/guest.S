# What the probe runs in ring 3, copied to the page GUEST_CODE. Each step is a request in eax, or an
# event that the probe expects at this point; see ring3.rs. Registers that no step uses must survive:
# r12 to r15 hold marks that the last request compares.

    .section .rodata.guest, "a"
    .global probe_guest_start
probe_guest_start:
    mov r12, 0x1212
    mov r15, 0x1515
    mov eax, 1
    syscall
    int3
    mov eax, 2
    syscall
    int 0x80
    ud2
    mov rax, [0x1000]
    # A page that is mapped read-only.
    mov rcx, {GUEST_CODE}
    mov [rcx], rax
    int 0x21
    # One single step.
    pushfq
    or qword ptr [rsp], 0x100
    popfq
    nop
    mov eax, 3
    syscall
    # To the 32-bit code below and back here.
    mov eax, 8
    syscall
    mov eax, 4
    syscall
    # In user mode now: this one is no hypercall.
    mov eax, 5
    syscall
    mov eax, 6
    syscall
2:  pause
    cmp dword ptr [{GUEST_FLAG}], 0
    je 2b
    # How long a hypercall that does nothing takes, in ticks; then the same loop without it.
    rdtsc
    mov r14d, eax
    mov r13d, {ROUNDS}
3:  mov eax, 100
    syscall
    dec r13d
    jnz 3b
    rdtsc
    sub eax, r14d
    mov edi, eax
    rdtsc
    mov r14d, eax
    mov r13d, {ROUNDS}
4:  mov eax, 100
    ud2
    dec r13d
    jnz 4b
    rdtsc
    sub eax, r14d
    mov esi, eax
    std
    stc
    mov eax, 7
    syscall
    ud2
    .code32
    .global probe_guest32
probe_guest32:
    mov eax, 9
    syscall
    mov eax, 10
    syscall
    ud2
    .global probe_guest32_intel
probe_guest32_intel:
    mov eax, 11
    sysenter
    .code64
    .global probe_guest_end
probe_guest_end:
    .text
