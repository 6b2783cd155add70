#![cfg_attr(target_os = "none", no_std, no_main)]
//! A program that proves that the machine works, without any domain.
//!
//! Boots like the hypervisor, checks memory, heap, clocks, interrupts and TLB requests on all CPUs,
//! then runs a few instructions in ring 3 and compares every event with what is expected. Ends QEMU
//! with code 0x10 when all was right; a failed check panics.

#[cfg(not(target_os = "none"))]
fn main() {
    println!("machine-probe runs on the bare machine only: cargo xtask builds and starts it");
}

#[cfg(target_os = "none")]
extern crate alloc;

#[cfg(target_os = "none")]
mod checks;
#[cfg(target_os = "none")]
mod ring3;

#[cfg(target_os = "none")]
hv_machine::entry_points! {
    ();
    boot: crate::checks::boot,
    hypercall: crate::ring3::hypercall,
    iret: crate::ring3::hypercall,
    syscall: crate::ring3::syscall,
    rare_syscall: crate::ring3::rare_syscall,
    page_fault: crate::ring3::page_fault,
    exception: crate::ring3::exception,
    examine: crate::ring3::examine,
    iret_fault: crate::ring3::iret_fault,
    interrupt: crate::checks::interrupt,
    event: crate::ring3::event,
    exit_work: crate::checks::exit_work,
    current: crate::checks::current,
}
