//! `update_va_mapping` and `update_va_mapping_otherdomain`: the entry that maps one address.

use core::sync::atomic::Ordering;
use hv_core::page::{PageTables, Stop};
use hv_machine::{cpu, tlb};
use hypercall_abi::addr::GuestVa;
use hypercall_abi::errno::Errno;
use hypercall_abi::ids::DomId;
use hypercall_abi::mmu::uvmf;

use super::mmu::{frame_owner, BUDGET};
use super::mmuext::read_vcpu_mask;
use super::{Call, Outcome};
use crate::host::Host;

/// `update_va_mapping(va, value, flags)`.
pub fn update_va_mapping(call: &mut Call<'_>) -> Outcome {
    let owner = call.here.dom().id;
    update(call, owner)
}

/// `update_va_mapping_otherdomain(va, value, flags, domid)`.
pub fn otherdomain(call: &mut Call<'_>) -> Outcome {
    match frame_owner(call.here, DomId::new(call.args[3] as u16)) {
        Ok(owner) => update(call, owner),
        Err(errno) => errno.into(),
    }
}

fn update(call: &Call<'_>, frames: DomId) -> Outcome {
    let [va, value, flags, ..] = call.args;
    let dom = call.here.dom();
    let Some(root) = call.here.vcpu().state.lock().root else { return Errno::EINVAL.into() };
    let tables = PageTables::new(&Host, dom.id, dom.id);
    let mut budget = BUDGET;
    let mut mmu = dom.mmu.lock();
    let va = GuestVa::new(va);
    let result = tables.update_va_mapping(&mut mmu, root, va, value, frames, &mut budget);
    drop(mmu);
    match result {
        Ok(()) => flush(call, va, flags).into(),
        Err(Stop::Preempted) => Outcome::Again,
        Err(Stop::Refused(error)) => Errno::from(error).into(),
    }
}

/// Flushes what the caller asks for after the change.
#[inline]
fn flush(call: &Call<'_>, va: GuestVa, flags: u64) -> Result<(), Errno> {
    let what = match flags & uvmf::FLUSHTYPE_MASK {
        uvmf::NONE => return Ok(()),
        uvmf::TLB_FLUSH => tlb::Flush::All,
        uvmf::INVLPG if va.is_guest_accessible() => tlb::Flush::Page(va.get()),
        _ => return Ok(()),
    };
    match flags & !uvmf::FLUSHTYPE_MASK {
        uvmf::LOCAL => match what {
            tlb::Flush::All => cpu::flush_local_all(),
            tlb::Flush::Page(va) => cpu::invlpg(va),
        },
        uvmf::ALL => {
            tlb::flush_cpus(call.here.dom().dirty_cpus.load(Ordering::SeqCst), what);
        }
        bitmap => tlb::flush_cpus(read_vcpu_mask(call.here, bitmap, Errno::EFAULT)?, what),
    }
    Ok(())
}
