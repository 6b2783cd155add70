//! Giving frames to the hypervisor and taking others.

use hypercall_abi::{DomId, Mfn};
use pvkernel_xen::hypercall::memory;
use pvkernel_xen::{mmu, p2m};
use test_guests::pages::{update, Page};

use crate::meter::{Meter, Row};

/// Runs the topic.
pub fn run(m: &mut Meter) {
    let row = |name| Row::new(name, "hypercall");
    let rows = [row("mem_decrease_reservation_1page"), row("mem_increase_reservation_1page")];
    if !m.wants(&rows) {
        return;
    }
    let page = Page::new();
    // SAFETY: the page belongs to this row and is not used until it is back.
    let _ = unsafe { mmu::set_direct(page.pfn, 0) };
    let (mut mfns, before) = ([page.mfn], reserved());
    m.parts(
        rows,
        0,
        |good, parts| {
            // SAFETY: the frame is mapped nowhere.
            let decrease = || unsafe { memory::decrease_reservation(DomId::SELF, 0, &mfns) };
            let given = parts.time(0, decrease);
            let fewer = before - reserved();
            let taken = parts.time(1, || memory::increase_reservation(DomId::SELF, 0, &mut mfns));
            *good += u64::from((given, fewer, taken) == (1, 1, 1));
        },
        |good, made| *good == made && reserved() == before,
    );
    restore(page, mfns[0]);
}

fn reserved() -> u64 {
    memory::current_reservation(DomId::SELF).unwrap_or(0)
}

/// Puts the frame taken last behind the page.
fn restore(page: Page, mfn: Mfn) {
    update(mfn.maddr() | 1, page.pfn.get());
    // SAFETY: the hypervisor gave us the frame for this place.
    unsafe { p2m::set(page.pfn, Some(mfn)) };
    // SAFETY: as above.
    let mapped = unsafe { mmu::set_direct(page.pfn, mfn.maddr() | mmu::KERNEL_RW) };
    mapped.expect("a frame of ours can be mapped");
    drop(Page { pfn: page.pfn, mfn, va: page.va });
    core::mem::forget(page);
}
