//! `set_gdt`, `update_descriptor`, `set_segment_base`.

use alloc::vec::Vec;
use hv_core::page::{PageTables, Stop};
use hv_machine::{desc, segments};
use hypercall_abi::addr::{is_canonical, Mfn};
use hypercall_abi::errno::Errno;
use hypercall_abi::regs::FIRST_RESERVED_GDT_ENTRY;
use hypercall_abi::segment::{
    SEGBASE_FS, SEGBASE_GS_KERNEL, SEGBASE_GS_USER, SEGBASE_GS_USER_SEL,
};

use super::mmu::BUDGET;
use super::{Call, Outcome};
use crate::control::context;
use crate::guestmem;
use crate::host::Host;

/// `set_gdt(frames, entries)`.
pub fn set_gdt(call: &mut Call<'_>) -> Outcome {
    let [list, entries, ..] = call.args;
    let entries = entries as u32;
    match read_frames(list, entries) {
        Ok(frames) => match context::set_gdt(call.here.dom(), call.here.vcpu(), &frames, entries) {
            Ok(()) => {
                desc::set_guest_gdt(&frames);
                Outcome::Done(0)
            }
            Err(errno) => errno.into(),
        },
        Err(errno) => errno.into(),
    }
}

/// Descriptors per frame.
const PER_FRAME: u32 = 512;

fn read_frames(list: u64, entries: u32) -> Result<Vec<Mfn>, Errno> {
    if u64::from(entries) > FIRST_RESERVED_GDT_ENTRY {
        return Err(Errno::EINVAL);
    }
    let count = u64::from(entries.div_ceil(PER_FRAME));
    let mut frames = Vec::new();
    frames.try_reserve_exact(count as usize).map_err(|_| Errno::ENOMEM)?;
    for index in 0..count {
        frames.push(guestmem::read_at::<Mfn>(list, index)?);
    }
    Ok(frames)
}

/// `update_descriptor(machine address, descriptor)`.
pub fn update_descriptor(call: &mut Call<'_>) -> Outcome {
    let [maddr, descriptor, ..] = call.args;
    if maddr % 8 != 0 {
        return Errno::EINVAL.into();
    }
    let dom = call.here.dom();
    let tables = PageTables::new(&Host, dom.id, dom.id);
    let mut budget = BUDGET;
    let index = (maddr as usize & 0xfff) / 8;
    let result = tables.update_descriptor(
        &mut dom.mmu.lock(),
        Mfn::from_maddr(maddr),
        index,
        descriptor,
        &mut budget,
    );
    match result {
        Ok(()) => Outcome::Done(0),
        Err(Stop::Preempted) => Outcome::Again,
        Err(Stop::Refused(error)) => Errno::from(error).into(),
    }
}

/// `set_segment_base(which, base)`.
pub fn set_segment_base(call: &mut Call<'_>) -> Outcome {
    let [which, base, ..] = call.args;
    let which = which as u32;
    if which == SEGBASE_GS_USER_SEL {
        segments::load_user_gs_selector(user_selector(base));
        return Outcome::Done(0);
    }
    if !is_canonical(base) {
        return Errno::EINVAL.into();
    }
    match which {
        SEGBASE_FS => segments::set_fs_base(base),
        SEGBASE_GS_USER => segments::set_gs_base_other(base),
        SEGBASE_GS_KERNEL => segments::set_gs_base_current(base),
        _ => return Errno::EINVAL.into(),
    }
    Outcome::Done(0)
}

/// A selector with the privilege of a guest; small numbers are the null selector.
fn user_selector(base: u64) -> u16 {
    let selector = base as u16;
    if selector > 3 {
        selector | 3
    } else {
        selector
    }
}
