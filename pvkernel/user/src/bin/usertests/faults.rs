//! Faults end the process that made them, with a status that says which, and nobody else.

use alloc::format;

use pvkernel_user::abi::STATUS_FAULT;
use pvkernel_user::process::Status;

use crate::check::{end_of, fail, same, Check};
use crate::danger::{address_of_code, jump, peek, poke, push_at, FORBIDDEN};

crate::cases! {
    reads_and_writes_of_nothing,
    writes_to_code,
    data_is_not_run,
    jumps_to_nothing,
    forbidden_instructions,
    stacks_that_are_none,
}

const PAGE_FAULT: Status = Status(STATUS_FAULT + 14);

/// Null, far away, the hypervisor's (the first is what it shows the kernel: the list of the machine's frames),
/// the kernel's.
const NOWHERE: &[u64] = &[
    0,
    0xff8,
    0x10_0000_0000,
    0x7fff_ffff_fff8,
    0xffff_8000_0000_0008,
    0xffff_8000_0000_1000,
    0xffff_8700_0000_0000,
    0xffff_8800_0000_0000,
    0xffff_ffff_8000_0000,
    0xffff_ffff_ffff_fff8,
];

fn reads_and_writes_of_nothing() -> Check {
    for address in NOWHERE {
        same((address, end_of(|| _ = peek(*address))?), (address, PAGE_FAULT))?;
        same((address, end_of(|| poke(*address, 1))?), (address, PAGE_FAULT))?;
    }
    Ok(())
}

fn writes_to_code() -> Check {
    let code = address_of_code();
    same(end_of(|| poke(code, peek(code)))?, PAGE_FAULT)?;
    // A constant is not written either, nor is what another process would see.
    let constant = "constant".as_ptr() as u64;
    same(end_of(|| poke(constant, b'C'))?, PAGE_FAULT)?;
    same(peek(constant), b'c')
}

fn data_is_not_run() -> Check {
    // `ud2`, so that it would be another exception.
    let room = alloc::vec![0x0fu8, 0x0b, 0x0f, 0x0b];
    let on_stack = [0x0fu8, 0x0b, 0x0f, 0x0b];
    let constant: &'static [u8] = &[0x0f, 0x0b];
    for place in [room.as_ptr(), on_stack.as_ptr(), constant.as_ptr()] {
        same(end_of(|| jump(place as u64))?, PAGE_FAULT)?;
    }
    Ok(())
}

fn jumps_to_nothing() -> Check {
    for address in NOWHERE {
        same((address, end_of(|| jump(*address))?), (address, PAGE_FAULT))?;
    }
    Ok(())
}

fn forbidden_instructions() -> Check {
    for (name, run, vectors) in FORBIDDEN {
        let ended = end_of(run)?;
        if !ended.fault().is_some_and(|vector| vectors.contains(&vector)) {
            return Err(fail(format!("{name}: {ended}, wanted one of the exceptions {vectors:?}")));
        }
    }
    Ok(())
}

fn stacks_that_are_none() -> Check {
    for address in NOWHERE {
        // Address 0 less 8 is the last of all, which is the kernel's.
        same((address, end_of(|| push_at(*address))?), (address, PAGE_FAULT))?;
    }
    let ended = end_of(|| push_at(0x0001_0000_0000_0000))?;
    let is_stack_fault = matches!(ended.fault(), Some(12 | 13));
    crate::check::holds(is_stack_fault, "a stack that is not canonical is a fault")
}
