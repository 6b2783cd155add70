//! `memory_op`.

use crate::harness::{address, command, hypercall, Report, IN_HOLE, UNMAPPED};
use crate::pages::{m2p, own_domid, Page};
use hypercall_abi::memory::{self as abi, XenMemoryExchange, XenMemoryReservation};
use hypercall_abi::{nr, DomId, Errno, GuestVa, Mfn, Pfn};
use pvkernel_xen::hypercall::memory;
use pvkernel_xen::{mmu, p2m};

const NO_DOMAIN: DomId = DomId::new(0x7000);

/// Runs the topic.
pub fn run(t: &mut Report) {
    numbers(t);
    maps(t);
    refused(t);
    give_and_take(t);
    increase(t);
    give_mapped(t);
    exchange(t);
    exchange_order(t);
    partial(t);
}

fn numbers(t: &mut Report) {
    let pages = p2m::count() as u64;
    t.eq("current-reservation", Ok(pages), memory::current_reservation(DomId::SELF));
    t.eq("current-reservation-by-id", Ok(pages), memory::current_reservation(own_domid()));
    t.check(
        "maximum-reservation",
        memory::maximum_reservation(DomId::SELF).is_ok_and(|m| m >= pages),
    );
    t.check("maximum-ram-page", memory::maximum_ram_page().is_ok_and(|last| last > pages));
    t.eq("unknown-domain", Err(Errno::ESRCH), memory::current_reservation(NO_DOMAIN));
    t.eq("gpfn-unknown-domain", Err(Errno::ESRCH), memory::maximum_gpfn(NO_DOMAIN));
    let mapping = memory::machphys_mapping().unwrap_or_default();
    t.eq("machphys-start", 0xffff_8000_0000_0000, mapping.v_start);
    t.check("machphys-end", mapping.v_end > mapping.v_start);
    t.errno("unknown-command", Errno::ENOSYS, command(nr::MEMORY_OP, 62, &mut [0u64; 8]));
}

fn maps(t: &mut Report) {
    let mut entries = [abi::E820Entry::default(); 64];
    let own = memory::memory_map(&mut entries);
    if t.is_dom0 {
        t.eq("memory-map-of-dom0", Err(Errno::ENOSYS), own);
        let machine = memory::machine_memory_map(&mut entries);
        t.check("machine-memory-map", machine.is_ok_and(|count| count > 2));
        let short = memory::machine_memory_map(&mut entries[..1]);
        t.eq("machine-memory-map-no-room", Err(Errno::EINVAL), short);
        let mut frames = [Mfn::default(); 4];
        t.check("machphys-list", memory::machphys_mfn_list(&mut frames).is_ok_and(|n| n > 0));
    } else {
        t.check("memory-map", own.is_ok_and(|count| count >= 1));
        t.eq("memory-map-is-ram", abi::e820::RAM, entries[0].kind);
        let machine = memory::machine_memory_map(&mut entries);
        t.eq("machine-memory-map", Err(Errno::EPERM), machine);
    }
    let unknown = memory::set_memory_map(NO_DOMAIN, &entries[..1]);
    t.eq("set-memory-map-unknown-domain", Err(Errno::ESRCH), unknown);
}

/// Commands that do not exist for paravirtual domains.
fn refused(t: &mut Report) {
    let mut arg = [0u64; 10];
    arg[0] = u64::from(DomId::SELF.get());
    for (name, cmd) in
        [("add-to-physmap", abi::ADD_TO_PHYSMAP), ("remove-from-physmap", abi::REMOVE_FROM_PHYSMAP)]
    {
        t.errno(name, Errno::EACCES, command(nr::MEMORY_OP, cmd, &mut arg));
    }
    let own = memory::acquire_resource(DomId::SELF, 1, 0, 0, &mut [Mfn::default(); 1]);
    t.eq("acquire-resource-of-self", Err(Errno::ESRCH), own);
    let own = memory::acquire_resource(own_domid(), 1, 0, 0, &mut [Mfn::default(); 1]);
    t.eq("acquire-resource-of-own-number", Err(Errno::EPERM), own);
    let numa = command(nr::MEMORY_OP, abi::GET_VNUMAINFO, &mut [0xffff_7ff0u64, 0, 0, 0, 0, 0]);
    t.check("vnuma-refused", numa < 0);
    // A claim needs a real number.
    t.eq("claim-for-self", Err(Errno::EINVAL), memory::claim_pages(DomId::SELF, 0));
    let claim = memory::claim_pages(own_domid(), 0);
    t.privileged("claim-nothing", Errno::EPERM, claim.map_or_else(Errno::to_ret, |()| 0));
    let nobody = memory::resource_size(NO_DOMAIN, 1, 0);
    t.eq("acquire-resource-unknown-domain", Err(Errno::ESRCH), nobody);
}

/// Gives a frame to the hypervisor and takes another in its place.
fn give_and_take(t: &mut Report) {
    let before = memory::current_reservation(DomId::SELF).unwrap_or(0);
    let page = Page::new();
    // SAFETY: the page belongs to the test and is not used until it is back.
    let _ = unsafe { mmu::set_direct(page.pfn, 0) };
    // SAFETY: it is mapped nowhere any more.
    let given = unsafe { memory::decrease_reservation(DomId::SELF, 0, &[page.mfn]) };
    t.eq("decrease", 1, given);
    t.eq("decrease-is-counted", Ok(before - 1), memory::current_reservation(DomId::SELF));
    // SAFETY: as above; the frame is not ours any more, so nothing happens.
    let again = unsafe { memory::decrease_reservation(DomId::SELF, 0, &[page.mfn]) };
    t.eq("decrease-twice", 0, again);
    let mut mfns = [Mfn::default()];
    let taken = memory::populate_physmap(DomId::SELF, 0, &[page.pfn], &mut mfns);
    t.eq("populate", 1, taken);
    t.eq("populate-is-counted", Ok(before), memory::current_reservation(DomId::SELF));
    t.eq("populate-sets-m2p", page.pfn.get(), m2p(mfns[0]));
    restore(page, mfns[0]);
}

/// Increase gives a frame without telling the machine-to-physical array.
fn increase(t: &mut Report) {
    let page = Page::new();
    // SAFETY: the page belongs to the test and is not used until it is back.
    let _ = unsafe { mmu::set_direct(page.pfn, 0) };
    // SAFETY: it is mapped nowhere any more.
    let given = unsafe { memory::decrease_reservation(DomId::SELF, 0, &[page.mfn]) };
    let mut mfns = [Mfn::default()];
    let taken = memory::increase_reservation(DomId::SELF, 0, &mut mfns);
    t.eq("increase", (1, 1), (given, taken));
    let update = crate::pages::update(mfns[0].maddr() | 1, page.pfn.get());
    t.ret("increase-then-m2p", 0, update);
    restore(page, mfns[0]);
    let mut list = [0u64; 4];
    let mut arg = reservation(&mut list, 0);
    arg.nr_extents = 0;
    let none = command(nr::MEMORY_OP, abi::INCREASE_RESERVATION, &mut arg);
    t.ret("increase-by-nothing", 0, none);
}

/// Frames may be given away while they are mapped; they stay ours until the mapping goes.
fn give_mapped(t: &mut Report) {
    let page = Page::new();
    let before = memory::current_reservation(DomId::SELF).unwrap_or(0);
    // SAFETY: the page belongs to the test; its mapping goes below.
    let given = unsafe { memory::decrease_reservation(DomId::SELF, 0, &[page.mfn]) };
    t.eq("decrease-mapped", 1, given);
    let counted = memory::current_reservation(DomId::SELF).unwrap_or(0);
    t.eq("decrease-mapped-still-counted", before, counted);
    // SAFETY: as above.
    let cleared = unsafe { mmu::set_direct(page.pfn, 0) };
    t.eq("decrease-mapped-unmap", Ok(()), cleared);
    let counted = memory::current_reservation(DomId::SELF).unwrap_or(0);
    t.eq("decrease-mapped-gone", before - 1, counted);
    let mut mfns = [Mfn::default()];
    let taken = memory::populate_physmap(DomId::SELF, 0, &[page.pfn], &mut mfns);
    t.eq("decrease-mapped-back", 1, taken);
    restore(page, mfns[0]);
}

/// Puts a new machine frame behind a page of the test.
fn restore(page: Page, mfn: Mfn) {
    // SAFETY: the hypervisor just gave us the frame for this place.
    unsafe { p2m::set(page.pfn, Some(mfn)) };
    // SAFETY: as above.
    let mapped = unsafe { mmu::set_direct(page.pfn, mfn.maddr() | mmu::KERNEL_RW) };
    mapped.expect("a frame of ours can be mapped");
    drop(Page { pfn: page.pfn, mfn, va: page.va });
    core::mem::forget(page);
}

fn reservation(list: &mut [u64], order: u32) -> XenMemoryReservation {
    XenMemoryReservation {
        extent_start: GuestVa::new(address(list)),
        nr_extents: list.len() as u64,
        extent_order: order,
        domid: DomId::SELF,
        ..Default::default()
    }
}

fn call_exchange(arg: &mut XenMemoryExchange) -> i64 {
    command(nr::MEMORY_OP, abi::EXCHANGE, arg)
}

fn exchange(t: &mut Report) {
    let page = Page::new();
    let (mut input, mut output) = ([page.mfn.get()], [page.pfn.get()]);
    let mut arg = XenMemoryExchange {
        r#in: reservation(&mut input, 0),
        out: reservation(&mut output, 0),
        nr_exchanged: 0,
    };
    t.errno("exchange-mapped-page", Errno::EINVAL, call_exchange(&mut arg));
    t.eq("exchange-nothing-done", 0, arg.nr_exchanged);
    // SAFETY: the page belongs to the test and is not used until it is back.
    let _ = unsafe { mmu::set_direct(page.pfn, 0) };
    t.ret("exchange", 0, call_exchange(&mut arg));
    t.eq("exchange-done", 1, arg.nr_exchanged);
    t.check("exchange-gives-another-frame", output[0] != page.pfn.get());
    t.eq("exchange-sets-m2p", page.pfn.get(), m2p(Mfn::new(output[0])));
    restore(page, Mfn::new(output[0]));
    arg.nr_exchanged = 1;
    t.ret("exchange-all-done-already", 0, call_exchange(&mut arg));
    arg.nr_exchanged = 2;
    t.errno("exchange-more-done-than-asked", Errno::EINVAL, call_exchange(&mut arg));
    arg.nr_exchanged = 0;
    arg.out.extent_order = 1;
    t.errno("exchange-sizes-differ", Errno::EINVAL, call_exchange(&mut arg));
    arg.out.extent_order = 63;
    arg.r#in.extent_order = 63;
    t.errno("exchange-huge-order", Errno::EPERM, call_exchange(&mut arg));
    (arg.r#in.extent_order, arg.out.extent_order) = (0, 0);
    arg.out.domid = NO_DOMAIN;
    t.errno("exchange-domains-differ", Errno::EINVAL, call_exchange(&mut arg));
    arg.out.domid = DomId::SELF;
    arg.r#in.extent_start = GuestVa::new(IN_HOLE);
    t.errno("exchange-list-in-hole", Errno::EFAULT, call_exchange(&mut arg));
}

/// Two frames for a pair of consecutive ones, and back.
fn exchange_order(t: &mut Report) {
    let pages = [Page::new(), Page::new()];
    let mut single = pages.each_ref().map(|page| page.mfn.get());
    for page in &pages {
        // SAFETY: the page belongs to the test and is not used until it is back.
        let _ = unsafe { mmu::set_direct(page.pfn, 0) };
    }
    let mut pair = [pages[0].pfn.get()];
    let mut arg = XenMemoryExchange {
        r#in: reservation(&mut single, 0),
        out: reservation(&mut pair, 1),
        nr_exchanged: 0,
    };
    t.ret("exchange-for-a-pair", 0, call_exchange(&mut arg));
    t.eq("exchange-for-a-pair-done", 2, arg.nr_exchanged);
    t.eq("pair-is-aligned", 0, pair[0] % 2);
    let first = pages[0].pfn.get();
    let told = [0, 1].map(|at| m2p(Mfn::new(pair[0] + at)));
    t.eq("pair-sets-m2p", [first, first + 1], told);
    let mut back = pages.each_ref().map(|page| page.pfn.get());
    arg = XenMemoryExchange {
        r#in: reservation(&mut pair, 1),
        out: reservation(&mut back, 0),
        nr_exchanged: 0,
    };
    t.ret("exchange-back", 0, call_exchange(&mut arg));
    t.eq("exchange-back-done", 1, arg.nr_exchanged);
    for (page, mfn) in pages.into_iter().zip(back) {
        restore(page, Mfn::new(mfn));
    }
}

/// Increase, decrease and populate never return an error: they return how much was done.
fn partial(t: &mut Report) {
    for (name, cmd) in [
        ("increase", abi::INCREASE_RESERVATION),
        ("decrease", abi::DECREASE_RESERVATION),
        ("populate", abi::POPULATE_PHYSMAP),
    ] {
        let named = |what: &str| alloc::format!("{name}-{what}");
        let call = |arg: &mut XenMemoryReservation| command(nr::MEMORY_OP, cmd, arg);
        let mut list = [u64::MAX >> 12];
        let mut arg = reservation(&mut list, 0);
        arg.domid = NO_DOMAIN;
        t.ret(&named("unknown-domain-does-nothing"), 0, call(&mut arg));
        arg.domid = DomId::SELF;
        arg.extent_order = 40;
        t.ret(&named("huge-order-does-nothing"), 0, call(&mut arg));
        arg.extent_order = 0;
        arg.extent_start = GuestVa::new(UNMAPPED);
        if cmd != abi::INCREASE_RESERVATION {
            t.ret(&named("bad-list-does-nothing"), 0, call(&mut arg));
        }
        let null = hypercall(nr::MEMORY_OP, &[cmd.into(), 0]);
        t.ret(&named("null-does-nothing"), 0, null);
    }
    let mut bad = [Mfn::new(u64::MAX >> 12)];
    // SAFETY: the frame does not exist.
    let none = unsafe { memory::decrease_reservation(DomId::SELF, 0, &bad) };
    t.eq("decrease-no-frame", 0, none);
    let too_much = memory::populate_physmap(DomId::SELF, 18, &[Pfn::new(0)], &mut bad);
    t.eq("populate-beyond-maximum", 0, too_much);
}
