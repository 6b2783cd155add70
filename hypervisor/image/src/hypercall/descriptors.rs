//! `set_gdt`, `update_descriptor`, `set_segment_base`.

use hv_machine::desc;
use hv_machine::segments::{self, Base};
use hypercall_abi::addr::is_canonical;
use hypercall_abi::regs::FIRST_RESERVED_GDT_ENTRY;
use hypercall_abi::segment::{SEGBASE_FS, SEGBASE_GS_KERNEL, SEGBASE_GS_USER, SEGBASE_GS_USER_SEL};
use hypercall_abi::{Errno, Mfn};

use super::mmu::{entry_place, BUDGET};
use super::{ensure, Answer, Call};
use crate::control::context;
use crate::guestmem;

/// Descriptors per frame.
const PER_FRAME: u32 = 512;

/// `set_gdt(frames, entries)`.
pub fn set_gdt(call: &mut Call<'_>) -> Answer {
    let [list, entries, ..] = call.args;
    let entries = entries as u32;
    ensure(u64::from(entries) <= FIRST_RESERVED_GDT_ENTRY, Errno::EINVAL)?;
    let frames = guestmem::read_array::<Mfn>(list, entries.div_ceil(PER_FRAME))?;
    context::set_gdt(call.here.dom(), call.here.vcpu(), &frames, entries)?;
    desc::set_guest_gdt(&frames);
    Ok(0)
}

/// `update_descriptor(machine address, descriptor)`.
pub fn update_descriptor(call: &mut Call<'_>) -> Answer {
    let [maddr, descriptor, ..] = call.args;
    ensure(maddr % 8 == 0, Errno::EINVAL)?;
    let dom = call.here.dom();
    let (table, index) = entry_place(maddr);
    let mut budget = BUDGET;
    dom.tables().update_descriptor(&mut dom.mmu.lock(), table, index, descriptor, &mut budget)?;
    Ok(0)
}

/// `set_segment_base(which, base)`.
pub fn set_segment_base(call: &mut Call<'_>) -> Answer {
    let [which, base, ..] = call.args;
    let usable = which as u32 == SEGBASE_GS_USER_SEL || is_canonical(base);
    ensure(usable, Errno::EINVAL)?;
    match which as u32 {
        SEGBASE_FS => segments::set_base(Base::Fs, base),
        SEGBASE_GS_USER => segments::set_base(Base::OtherGs, base),
        SEGBASE_GS_KERNEL => segments::set_base(Base::Gs, base),
        SEGBASE_GS_USER_SEL => segments::load_user_gs_selector(base as u16),
        _ => return Err(Errno::EINVAL.into()),
    }
    Ok(0)
}
