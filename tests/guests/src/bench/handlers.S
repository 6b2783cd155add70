# Entry points of the bench for exceptions and system calls, as short as they can be.
#
# bench_fault, bench_fault_code
#     For vectors without and with an error code, of kernel mode. r12 says how many bytes of the
#     faulting instruction to skip; r13 is counted up. Everything else comes back as it was.
# bench_mark_stop_fault, bench_mark_stop_fault_code
#     The same, but the first instruction reads the counter into bench_stamp; changes rax and rdx.
# bench_user_enter(frame: rdi)
#     Makes the iret hypercall with a frame that leads to user mode. It returns when user mode is
#     left through one of the next; user mode must not change the registers that functions keep.
# bench_user_left
#     For any entry from user mode: counts and returns from bench_user_enter.
# bench_user_timed
#     The same; before that, bench_stamp becomes the low half of the counter minus esi.

    .text
    .globl bench_mark_stop_fault
bench_mark_stop_fault:
    rdtsc
    shl rdx, 32
    or rax, rdx
    mov [rip + bench_stamp], rax
    .globl bench_fault
bench_fault:
    pop rcx
    pop r11
    add [rsp], r12
    inc r13
    push 0
    push rcx
    push r11
    push rax
    mov eax, 23
    syscall
    ud2

    .globl bench_mark_stop_fault_code
bench_mark_stop_fault_code:
    rdtsc
    shl rdx, 32
    or rax, rdx
    mov [rip + bench_stamp], rax
    .globl bench_fault_code
bench_fault_code:
    pop rcx
    pop r11
    add rsp, 8
    add [rsp], r12
    inc r13
    push 0
    push rcx
    push r11
    push rax
    mov eax, 23
    syscall
    ud2

    .globl bench_user_enter
bench_user_enter:
    mov [rip + bench_user_sp], rsp
    mov rsp, rdi
    mov eax, 23
    syscall
    ud2

    .globl bench_user_timed
bench_user_timed:
    rdtsc
    sub eax, esi
    mov [rip + bench_stamp], rax
    .globl bench_user_left
bench_user_left:
    mov rsp, [rip + bench_user_sp]
    inc qword ptr [rip + bench_user_count]
    ret

    .data
    .balign 8
    .globl bench_stamp
bench_stamp: .quad 0
    .globl bench_user_sp
bench_user_sp: .quad 0
    .globl bench_user_count
bench_user_count: .quad 0
    .text
