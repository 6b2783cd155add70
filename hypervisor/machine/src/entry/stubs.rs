//! The first instructions after `syscall`, one copy per CPU.
//!
//! `syscall` changes neither rsp nor GS, and GS belongs to the guest here, so the only thing that
//! differs between CPUs at that moment is the address they jump to. Each CPU's stub therefore names
//! its own stack, relative to its own address:
//!
//! ```text
//! mov [rip + guest rsp of this CPU], rsp
//! lea rsp, [rip + CpuInfo of this CPU]
//! jmp hv_syscall64
//! ```

use super::stack_head;
use crate::layout::{percpu_page, window};
use crate::regs::{CpuInfo, GuestRegs};
use core::mem::offset_of;

extern "C" {
    fn hv_syscall64();
    fn hv_syscall32();
    fn hv_sysenter();
}

/// Bytes of one stub.
const STUB_BYTES: usize = 19;
/// Offset of the second stub in the page.
const SECOND: usize = 32;

/// Address of a function that only the CPU calls.
pub(crate) fn address(function: unsafe extern "C" fn()) -> u64 {
    (function as *const ()).addr() as u64
}

/// Where `sysenter` leads, on every CPU.
pub(crate) fn sysenter_target() -> u64 {
    address(hv_sysenter)
}

/// Addresses of this CPU's two stubs: for 64-bit and for 32-bit code.
pub(crate) const fn targets(cpu: u32) -> (u64, u64) {
    let page = percpu_page(cpu, window::STUBS);
    (page, page + SECOND as u64)
}

/// The bytes of CPU `cpu`'s stub page, up to its last instruction.
pub(crate) fn code(cpu: u32) -> [u8; SECOND + STUB_BYTES] {
    let (first, second) = targets(cpu);
    let mut page = [0xcc; SECOND + STUB_BYTES];
    page[..STUB_BYTES].copy_from_slice(&stub(cpu, first, address(hv_syscall64)));
    page[SECOND..].copy_from_slice(&stub(cpu, second, address(hv_syscall32)));
    page
}

fn stub(cpu: u32, at: u64, common: u64) -> [u8; STUB_BYTES] {
    let info = stack_head(cpu);
    let guest_rsp = info + (offset_of!(CpuInfo, regs) + offset_of!(GuestRegs, rsp)) as u64;
    let mut code = [0; STUB_BYTES];
    code[..3].copy_from_slice(&[0x48, 0x89, 0x25]);
    code[3..7].copy_from_slice(&relative(at + 7, guest_rsp));
    code[7..10].copy_from_slice(&[0x48, 0x8d, 0x25]);
    code[10..14].copy_from_slice(&relative(at + 14, info));
    code[14] = 0xe9;
    code[15..].copy_from_slice(&relative(at + 19, common));
    code
}

/// Displacement from the end of an instruction; the layout keeps image and windows within 2 GiB.
fn relative(end: u64, target: u64) -> [u8; 4] {
    match i32::try_from(target.wrapping_sub(end) as i64) {
        Ok(distance) => distance.to_le_bytes(),
        Err(_) => panic!("a syscall stub is out of reach of {target:#x}"),
    }
}
