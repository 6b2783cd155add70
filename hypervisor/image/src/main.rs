//! The hypervisor binary: nothing but the table of entry points.
#![cfg_attr(target_os = "none", no_std, no_main)]
#![deny(unsafe_code)]

#[cfg(target_os = "none")]
hv_machine::entry_points! {
    hypervisor::current::Current;
    boot: hypervisor::boot::boot,
    hypercall: hypervisor::hypercall::entry,
    iret: hypervisor::hypercall::iret_entry,
    syscall: hypervisor::upcall::user_syscall,
    rare_syscall: hypervisor::upcall::rare_syscall,
    page_fault: hypervisor::trap::page_fault,
    exception: hypervisor::trap::exception,
    examine: hypervisor::trap::examine,
    iret_fault: hypervisor::trap::iret_fault,
    event: hypervisor::upcall::event,
    interrupt: hypervisor::exit::interrupt,
    exit_work: hypervisor::exit::exit_work,
    current: hypervisor::current::make,
}

#[cfg(not(target_os = "none"))]
fn main() {
    eprintln!("zendo runs on the bare machine; `cargo xtask run` boots it in QEMU");
}
