//! What the entry and exit paths of this CPU are told by the image: mode, work, upcall bytes.
//!
//! Called by the image when it switches vCPUs or modes and when it wants something done before the
//! guest continues. Work bits are the image's, except [`WORK_SCHEDULE`], which is set at boot.

use crate::percpu::{self, CpuId};
use crate::{irq, layout};
use core::sync::atomic::{AtomicU16, Ordering};
use hypercall_abi::{Mfn, PAGE_SIZE};

/// The work bit that is set when a CPU first reaches its exit loop.
pub const WORK_SCHEDULE: u32 = 1;

/// What the exit path looks at when there is no upcall to look for.
static NO_UPCALL: AtomicU16 = AtomicU16::new(0);

/// Whether `syscall` on this CPU is a hypercall from now on.
pub fn set_kernel_mode(kernel: bool) {
    percpu::info().kernel_mode.store(u8::from(kernel), Ordering::Relaxed);
}

/// Whether `syscall` on this CPU is a hypercall.
pub fn kernel_mode() -> bool {
    percpu::info().kernel_mode.load(Ordering::Relaxed) != 0
}

/// Asks for work on this CPU before the guest continues.
pub fn raise_work(bits: u32) {
    percpu::info().work.fetch_or(bits, Ordering::SeqCst);
}

/// Takes all work asked for on this CPU.
pub fn take_work() -> u32 {
    percpu::info().work.swap(0, Ordering::SeqCst)
}

/// Withdraws requests for work on this CPU.
pub fn clear_work(bits: u32) {
    percpu::info().work.fetch_and(!bits, Ordering::SeqCst);
}

/// Whether any of these kinds of work is asked for on this CPU.
pub fn work_pending(bits: u32) -> bool {
    percpu::info().work.load(Ordering::SeqCst) & bits != 0
}

/// Asks for work on any CPU; a remote one is interrupted if the bits are new to it.
pub fn raise_work_on(cpu: CpuId, bits: u32) {
    let Some(info) = percpu::info_of(cpu) else { return };
    let before = info.work.fetch_or(bits, Ordering::SeqCst);
    if cpu != percpu::cpu_id() && before & bits != bits {
        irq::kick(cpu);
    }
}

/// Where this CPU's guest has its upcall-pending byte, with the mask byte behind it; `None` when no
/// guest runs here.
///
/// # Panics
/// When the two bytes do not lie in one RAM frame.
pub fn set_upcall_pair(place: Option<(Mfn, u16)>) {
    let address = match place {
        Some((mfn, offset)) => {
            assert!((offset as usize) < PAGE_SIZE - 1 && crate::frames::is_ram(mfn));
            layout::direct(mfn.maddr()) + u64::from(offset)
        }
        None => no_upcall(),
    };
    percpu::info().upcall_pair.store(address, Ordering::Relaxed);
}

fn no_upcall() -> u64 {
    core::ptr::from_ref(&NO_UPCALL).addr() as u64
}

/// Prepares this CPU's block.
pub(crate) fn prepare(cpu: CpuId) {
    let info = percpu::info();
    info.cpu_id.store(cpu.0, Ordering::Relaxed);
    info.upcall_pair.store(no_upcall(), Ordering::Relaxed);
    info.work.store(WORK_SCHEDULE, Ordering::Relaxed);
}
