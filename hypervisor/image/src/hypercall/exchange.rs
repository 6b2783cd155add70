//! `XENMEM_exchange`: sets of frames for sets that are contiguous or lie lower.
//!
//! A chunk is as many frames as the larger of the two extents. Its frames are taken from the
//! domain one by one; if the new ones cannot be had, they are given back.

use alloc::vec::Vec;
use hv_core::page;
use hv_machine::{directmap, frames};
use hypercall_abi::addr::Mfn;
use hypercall_abi::errno::Errno;
use hypercall_abi::ids::DomId;
use hypercall_abi::memory::{memf, XenMemoryExchange};

use super::memory::max_order;
use super::{Call, Outcome};
use crate::domain::{memory, Domain};
use crate::guestmem;
use crate::host::Host;

/// Chunks done per entry of the hypervisor.
const CHUNKS_PER_PASS: u64 = 8;

/// `memory_op(XENMEM_exchange, arg)`. Progress is kept in the structure's own `nr_exchanged`: a call
/// goes on where that says, whoever wrote it.
pub fn exchange(call: &mut Call<'_>) -> Outcome {
    let arg = call.args[1];
    let mut op: XenMemoryExchange = match guestmem::read(arg) {
        Ok(op) => op,
        Err(errno) => return errno.into(),
    };
    if let Err(errno) = check(call, &op) {
        return errno.into();
    }
    let mut result = Ok(());
    let mut chunks = 0;
    while op.nr_exchanged < op.r#in.nr_extents && result.is_ok() {
        if chunks == CHUNKS_PER_PASS {
            break;
        }
        result = chunk(call.here.dom(), &mut op);
        chunks += 1;
    }
    // The guest learns how far it went, whatever happened.
    let told = guestmem::write(arg, &op);
    if let Err(errno) = result.and(told) {
        return errno.into();
    }
    if op.nr_exchanged < op.r#in.nr_extents {
        return Outcome::Again;
    }
    Outcome::Done(0)
}

fn check(call: &Call<'_>, op: &XenMemoryExchange) -> Result<(), Errno> {
    let (give, take) = (&op.r#in, &op.out);
    if op.nr_exchanged > give.nr_extents {
        return Err(Errno::EINVAL);
    }
    if give.extent_order.max(take.extent_order) > max_order(call.here) {
        return Err(Errno::EPERM);
    }
    let size = |extents: u64, order: u32| extents.checked_mul(1 << order);
    let given = size(give.nr_extents, give.extent_order).ok_or(Errno::EINVAL)?;
    let taken = size(take.nr_extents, take.extent_order).ok_or(Errno::EINVAL)?;
    let whole_chunks =
        give.extent_order >= take.extent_order || give.nr_extents % ratio(op) == 0;
    let own = give.domid == DomId::SELF || give.domid == call.here.dom().id;
    if given != taken || give.domid != take.domid || !own || !whole_chunks {
        return Err(Errno::EINVAL);
    }
    Ok(())
}

/// Extents of the smaller kind per extent of the larger.
fn ratio(op: &XenMemoryExchange) -> u64 {
    1 << op.r#in.extent_order.abs_diff(op.out.extent_order)
}

/// Exchanges one chunk and moves the progress on.
fn chunk(dom: &Domain, op: &mut XenMemoryExchange) -> Result<(), Errno> {
    let give_smaller = op.r#in.extent_order < op.out.extent_order;
    let (inputs, outputs) = if give_smaller { (ratio(op), 1) } else { (1, ratio(op)) };
    let first_out = (op.nr_exchanged << op.r#in.extent_order) >> op.out.extent_order;
    let taken = take_frames(dom, op, inputs)?;
    let mut given: Vec<Mfn> = Vec::new();
    let got = given.try_reserve_exact(outputs as usize).map_err(|_| Errno::ENOMEM).and_then(|()| {
        let bits = op.out.mem_flags & memf::ADDRESS_BITS_MASK;
        for _ in 0..outputs {
            let block = match bits {
                0 => frames::alloc(op.out.extent_order),
                bits => frames::alloc_below(op.out.extent_order, bits),
            };
            given.push(block.ok_or(Errno::ENOMEM)?);
        }
        Ok(())
    });
    if let Err(errno) = got {
        given.iter().for_each(|mfn| frames::free(*mfn, op.out.extent_order));
        taken.iter().for_each(|mfn| give_back(dom, *mfn));
        return Err(errno);
    }
    taken.iter().for_each(|mfn| memory::recycle(*mfn));
    op.nr_exchanged += inputs;
    hand_out(dom, op, first_out, &given)
}

/// Takes the frames of a chunk away from the domain.
fn take_frames(dom: &Domain, op: &XenMemoryExchange, extents: u64) -> Result<Vec<Mfn>, Errno> {
    let order = op.r#in.extent_order;
    let mut taken: Vec<Mfn> = Vec::new();
    taken.try_reserve_exact((extents << order) as usize).map_err(|_| Errno::ENOMEM)?;
    for extent in 0..extents {
        let at = op.nr_exchanged + extent;
        let first = guestmem::read_at::<u64>(op.r#in.extent_start.get(), at);
        for offset in 0..1u64 << order {
            let mfn = first.and_then(|first| first.checked_add(offset).ok_or(Errno::EINVAL));
            match mfn.and_then(|mfn| steal(dom, Mfn::new(mfn))) {
                Ok(mfn) => taken.push(mfn),
                Err(errno) => {
                    taken.iter().for_each(|mfn| give_back(dom, *mfn));
                    return Err(errno);
                }
            }
        }
    }
    Ok(taken)
}

fn steal(dom: &Domain, mfn: Mfn) -> Result<Mfn, Errno> {
    let _mmu = dom.mmu.lock();
    page::steal(&Host, mfn, dom.id).map_err(|_| Errno::EINVAL)?;
    dom.pages.lock().list.remove(frames::table(), mfn);
    Ok(mfn)
}

/// Undoes a theft: the frame and its content are the domain's again.
fn give_back(dom: &Domain, mfn: Mfn) {
    let _mmu = dom.mmu.lock();
    memory::adopt(dom, mfn);
}

/// Gives the new frames to the domain and tells it their numbers.
fn hand_out(
    dom: &Domain,
    op: &XenMemoryExchange,
    first_out: u64,
    given: &[Mfn],
) -> Result<(), Errno> {
    let list = op.out.extent_start.get();
    let mut result = Ok(());
    for (index, first) in given.iter().enumerate() {
        let at = first_out + index as u64;
        let pfn = guestmem::read_at::<u64>(list, at);
        for offset in 0..1u64 << op.out.extent_order {
            let mfn = Mfn::new(first.get() + offset);
            directmap::zero(mfn);
            let _mmu = dom.mmu.lock();
            memory::adopt(dom, mfn);
            frames::m2p_set(mfn, pfn.map_or(frames::M2P_INVALID, |pfn| pfn.wrapping_add(offset)));
        }
        result = result.and(pfn.map(|_| ())).and(guestmem::write_at(list, at, first));
    }
    result
}
