//! `XENMEM_exchange`: sets of frames for sets that are contiguous or lie lower.
//!
//! A chunk is as many frames as the larger of the two extents. Its frames are taken from the
//! domain one by one; if the new ones cannot be had, they are given back.

use alloc::vec::Vec;
use hv_core::page;
use hv_machine::{directmap, frames};
use hypercall_abi::memory::{memf, XenMemoryExchange, XenMemoryReservation as Extents};
use hypercall_abi::{DomId, Errno, Mfn};

use super::memory::max_order;
use super::{ensure, Answer, Call, End};
use crate::domain::{memory, Domain};
use crate::guestmem;
use crate::host::Host;

/// Frames exchanged per entry of the hypervisor, but at least one chunk.
const FRAMES_PER_PASS: u64 = 64;

/// `memory_op(XENMEM_exchange, arg)`. Progress is kept in the structure's own `nr_exchanged`: a call
/// goes on where that says, whoever wrote it.
pub fn exchange(call: &mut Call<'_>) -> Answer {
    let arg = call.args[1];
    let mut op: XenMemoryExchange = guestmem::read(arg)?;
    check(call, &op)?;
    let chunks = FRAMES_PER_PASS >> op.r#in.extent_order.max(op.out.extent_order);
    let exchanged = (0..chunks.max(1)).try_for_each(|_| chunk(call.here.dom(), &mut op));
    // The guest learns how far it went, whatever happened.
    let told = guestmem::write(arg, &op);
    exchanged.and(told)?;
    ensure(op.nr_exchanged >= op.r#in.nr_extents, End::AGAIN)?;
    Ok(0)
}

fn check(call: &Call<'_>, op: &XenMemoryExchange) -> Result<(), Errno> {
    let (give, take) = (&op.r#in, &op.out);
    ensure(op.nr_exchanged <= give.nr_extents, Errno::EINVAL)?;
    let order = give.extent_order.max(take.extent_order);
    ensure(order <= max_order(call.here), Errno::EPERM)?;
    let given = give.nr_extents.checked_mul(1 << give.extent_order).ok_or(Errno::EINVAL)?;
    let taken = take.nr_extents.checked_mul(1 << take.extent_order).ok_or(Errno::EINVAL)?;
    let whole_chunks = give.extent_order >= take.extent_order || give.nr_extents % ratio(op) == 0;
    let own = give.domid == DomId::SELF || give.domid == call.here.dom().id;
    ensure(given == taken && give.domid == take.domid && own && whole_chunks, Errno::EINVAL)
}

/// Extents of the smaller kind per extent of the larger.
fn ratio(op: &XenMemoryExchange) -> u64 {
    1 << op.r#in.extent_order.abs_diff(op.out.extent_order)
}

/// Exchanges one chunk, if any is left, and moves the progress on.
fn chunk(dom: &Domain, op: &mut XenMemoryExchange) -> Result<(), Errno> {
    if op.nr_exchanged >= op.r#in.nr_extents {
        return Ok(());
    }
    let give_smaller = op.r#in.extent_order < op.out.extent_order;
    let (inputs, outputs) = if give_smaller { (ratio(op), 1) } else { (1, ratio(op)) };
    let first_out = (op.nr_exchanged << op.r#in.extent_order) >> op.out.extent_order;
    let mut taken = Vec::new();
    let given = take_frames(dom, op, inputs, &mut taken)
        .and_then(|()| new_blocks(op, outputs))
        .inspect_err(|_| give_back(dom, &taken))?;
    taken.iter().for_each(|mfn| memory::recycle(*mfn));
    op.nr_exchanged += inputs;
    hand_out(dom, &op.out, first_out, &given)
}

/// Takes the frames of a chunk away from the domain; `taken` has them, also if not all can be had.
fn take_frames(
    dom: &Domain,
    op: &XenMemoryExchange,
    extents: u64,
    taken: &mut Vec<Mfn>,
) -> Result<(), Errno> {
    let order = op.r#in.extent_order;
    taken.try_reserve_exact((extents << order) as usize).map_err(|_| Errno::ENOMEM)?;
    for extent in 0..extents {
        let first: Mfn = guestmem::read_at(op.r#in.extent_start.get(), op.nr_exchanged + extent)?;
        for offset in 0..1u64 << order {
            let mfn = first.checked_add(offset).ok_or(Errno::EINVAL)?;
            let _mmu = dom.mmu.lock();
            page::steal(&Host, mfn, dom.id).map_err(|_| Errno::EINVAL)?;
            dom.pages.lock().list.remove(frames::table(), mfn);
            taken.push(mfn);
        }
    }
    Ok(())
}

/// Undoes a theft: the frames and their content are the domain's again.
fn give_back(dom: &Domain, taken: &[Mfn]) {
    let _mmu = dom.mmu.lock();
    taken.iter().for_each(|mfn| memory::adopt(dom, *mfn));
}

/// All new blocks of a chunk, or none.
fn new_blocks(op: &XenMemoryExchange, count: u64) -> Result<Vec<Mfn>, Errno> {
    let order = op.out.extent_order;
    let bits = op.out.mem_flags & memf::ADDRESS_BITS_MASK;
    let mut blocks = Vec::new();
    blocks.try_reserve_exact(count as usize).map_err(|_| Errno::ENOMEM)?;
    for _ in 0..count {
        let block = frames::alloc_below(order, bits);
        let Some(block) = block else {
            blocks.iter().for_each(|mfn| frames::free(*mfn, order));
            return Err(Errno::ENOMEM);
        };
        blocks.push(block);
    }
    Ok(blocks)
}

/// Gives the new frames to the domain and tells it their numbers.
fn hand_out(dom: &Domain, out: &Extents, first_out: u64, given: &[Mfn]) -> Result<(), Errno> {
    let list = out.extent_start.get();
    let mut result = Ok(());
    for (at, first) in (first_out..).zip(given) {
        let pfn = guestmem::read_at::<u64>(list, at);
        for offset in 0..1u64 << out.extent_order {
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
