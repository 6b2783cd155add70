//! Exceptions of the guest kernel, to its handler and back by the `iret` hypercall.

use core::arch::asm;

use hypercall_abi::vm_assist;
use pvkernel_xen::hypercall::{cpu, misc};
use test_guests::pages::Page;

use crate::handlers::{restore, stamp, Entry};
use crate::meter::{Meter, Row};

const FAULT: &str = "fault";
const TRAP: &str = "trap";
/// An address where nothing is mapped.
const UNMAPPED: u64 = 0x7000_0000_0000;
const NOT_CANONICAL: u64 = 0x8000_0000_0000_0000;

/// Declares a function that executes one instruction on the address in rdi. It raises an exception
/// whose handler skips `$skip` bytes and counts it.
macro_rules! faulting {
    ($name:ident, $skip:expr, $code:literal) => {
        #[inline(always)]
        fn $name(count: &mut u64, address: u64) {
            // SAFETY: the instruction faults, and the handler brings everything back but rax and
            // rdx, which a timed one changes.
            unsafe {
                asm!($code, in("r12") $skip as u64, inout("r13") *count, in("rdi") address,
                    inout("rax") 1u64 => _, inout("rdx") 0u64 => _);
            }
        }
    };
}

faulting!(load, 3, "mov rax, [rdi]");
faulting!(store, 3, "mov [rdi], rax");
faulting!(undefined, 2, "ud2");
faulting!(divide, 2, "div edx");
faulting!(breakpoint, 0, "int3");
faulting!(int_80, 0, "int 0x80");
faulting!(load_short, 2, "mov eax, [rdi]");
faulting!(lgdt, 4, "lgdt [rsp]");
faulting!(invlpg, 4, "invlpg [rsp]");
faulting!(fpu_nop, 0, "fnop");

/// Runs the topic.
pub fn run(m: &mut Meter) {
    Entry::Fault.take(0);
    Entry::Fault.take(3);
    Entry::Fault.take(6);
    Entry::Fault.take(7);
    Entry::FaultCode.take(13);
    Entry::FaultCode.take(14);
    Entry::Fault.take(0x80);
    page_faults(m);
    others(m);
    protection(m);
    no_device(m);
    to_handler(m);
    restore();
}

fn there_and_back(
    m: &mut Meter,
    name: &'static str,
    unit: &'static str,
    mut op: impl FnMut(&mut u64),
) {
    m.cost(Row::new(name, unit), 0, |count| op(count), |count, made| *count == made);
}

fn page_faults(m: &mut Meter) {
    there_and_back(m, "exc_pf_notpresent_read_roundtrip", FAULT, |n| load(n, UNMAPPED));
    there_and_back(m, "exc_pf_notpresent_write_roundtrip", FAULT, |n| store(n, UNMAPPED));
    let page = Page::new();
    page.seal();
    there_and_back(m, "exc_pf_write_ro_roundtrip", FAULT, |n| store(n, page.va));
    let assist = |cmd| misc::vm_assist(cmd, vm_assist::TYPE_WRITABLE_PAGETABLES);
    let _ = assist(vm_assist::CMD_ENABLE);
    let name = "exc_pf_write_ro_roundtrip_ptwr_assist_on";
    there_and_back(m, name, FAULT, |n| store(n, page.va));
    let _ = assist(vm_assist::CMD_DISABLE);
}

fn others(m: &mut Meter) {
    there_and_back(m, "exc_ud_roundtrip", FAULT, |n| undefined(n, 0));
    there_and_back(m, "exc_de_roundtrip", FAULT, |n| divide(n, 0));
    there_and_back(m, "exc_int3_roundtrip", TRAP, |n| breakpoint(n, 0));
    there_and_back(m, "exc_int80_roundtrip", TRAP, |n| int_80(n, 0));
}

/// Instructions that the hypervisor looks at before it refuses them.
fn protection(m: &mut Meter) {
    there_and_back(m, "exc_gp_noncanonical_roundtrip", FAULT, |n| load_short(n, NOT_CANONICAL));
    there_and_back(m, "exc_gp_lgdt_roundtrip", FAULT, |n| lgdt(n, 0));
    there_and_back(m, "exc_gp_invlpg_roundtrip", FAULT, |n| invlpg(n, 0));
}

/// The handler returns to the instruction, which then succeeds. Setting the flag is not measured.
fn no_device(m: &mut Meter) {
    m.parts(
        [Row::new("exc_nm_roundtrip", FAULT)],
        0,
        |count, parts| {
            let _ = cpu::fpu_taskswitch(true);
            parts.time(0, || fpu_nop(count, 0));
        },
        |count, made| *count == made,
    );
    let _ = cpu::fpu_taskswitch(false);
}

/// The first half alone, to the first instruction of the handler.
fn to_handler(m: &mut Meter) {
    Entry::TimedFault.take(6);
    Entry::TimedFaultCode.take(14);
    Entry::TimedFault.take(0x80);
    one_way(m, "exc_pf_to_handler", FAULT, |n| load(n, UNMAPPED));
    one_way(m, "exc_ud_to_handler", FAULT, |n| undefined(n, 0));
    one_way(m, "exc_int80_to_handler", TRAP, |n| int_80(n, 0));
}

fn one_way(m: &mut Meter, name: &'static str, unit: &'static str, mut op: impl FnMut(&mut u64)) {
    m.parts(
        [Row::new(name, unit)],
        0,
        |count, parts| parts.until(0, || op(count), stamp),
        |count, made| *count == made,
    );
}
