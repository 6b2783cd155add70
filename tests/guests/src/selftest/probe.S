# Executing instructions that may fault, and coming back.
#
# probe_call(function: rdi, argument: rsi) -> rax
#     Calls function(argument). When it faults, the exception hook (probe.rs) continues at
#     probe_recover with the stack pointer from probe_sp, and the call returns nothing useful.
# probe_raw_stub
#     A trap entry that copies what the hypervisor pushed to probe_raw_words and recovers.
# probe_iret(frame: rdi), probe_iret_target
#     Makes the iret hypercall with the frame; its rip should be probe_iret_target, which stores
#     the registers it finds in probe_iret_seen and recovers.
# user_enter(frame: rdi, argument: rsi), user_recover
#     The same for frames that lead to user mode; the trap hook continues at user_recover.

    .text
    .globl probe_call
probe_call:
    push rbp
    push rbx
    push r12
    push r13
    push r14
    push r15
    sub rsp, 8
    mov [rip + probe_sp], rsp
    mov rax, rdi
    mov rdi, rsi
    call rax
    .globl probe_recover
probe_recover:
    mov rsp, [rip + probe_sp]
    add rsp, 8
    pop r15
    pop r14
    pop r13
    pop r12
    pop rbx
    pop rbp
    cld
    ret

    .globl probe_raw_stub
probe_raw_stub:
    mov [rip + probe_raw_sp], rsp
    cld
    mov rsi, rsp
    lea rdi, [rip + probe_raw_words]
    mov ecx, 12
    rep movsq
    jmp probe_recover

    .globl probe_iret
probe_iret:
    push rbp
    push rbx
    push r12
    push r13
    push r14
    push r15
    sub rsp, 8
    mov [rip + probe_sp], rsp
    mov rsp, rdi
    mov eax, 23
    syscall
    ud2

    .globl probe_iret_target
probe_iret_target:
    mov [rip + probe_iret_seen], rax
    mov [rip + probe_iret_seen + 8], rcx
    mov [rip + probe_iret_seen + 16], r11
    mov [rip + probe_iret_seen + 24], rsp
    mov rsp, [rip + probe_sp]
    pushfq
    pop rax
    mov [rip + probe_iret_seen + 32], rax
    mov eax, cs
    mov [rip + probe_iret_seen + 40], rax
    mov eax, ss
    mov [rip + probe_iret_seen + 48], rax
    push 0x202
    popfq
    jmp probe_recover

    .globl user_enter
user_enter:
    push rbp
    push rbx
    push r12
    push r13
    push r14
    push r15
    sub rsp, 8
    mov [rip + user_sp], rsp
    mov rsp, rdi
    mov rdi, rsi
    mov eax, 23
    syscall
    ud2

    .globl user_recover
user_recover:
    mov rsp, [rip + user_sp]
    add rsp, 8
    pop r15
    pop r14
    pop r13
    pop r12
    pop rbx
    pop rbp
    cld
    ret

    .data
    .balign 8
    .globl probe_sp
probe_sp: .quad 0
    .globl probe_raw_sp
probe_raw_sp: .quad 0
    .globl probe_raw_words
probe_raw_words: .fill 12, 8, 0
    .globl probe_iret_seen
probe_iret_seen: .fill 7, 8, 0
    .globl user_sp
user_sp: .quad 0
    .text
