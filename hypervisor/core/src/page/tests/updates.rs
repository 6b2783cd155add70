//! Rules about single updates: by frame, by address, emulated, and of grants.

use hypercall_abi::mmu::pte;
use hypercall_abi::GuestVa;

use super::super::{get_writable, Entry, EntryUpdate, PageError, UpdateMode};
use super::fixture::{
    data, entry, leaf_slot, pinned, world, DOM0, DOMU, ENDLESS, LEAF, MIDDLE, P, ROOT, RW, TOP, US,
};
use super::recount;

#[test]
fn accessed_and_dirty_bits_survive_when_asked_for() {
    let world = world();
    let mut dom = pinned(&world);
    let used = world.peek(LEAF, 0) | Entry::ACCESSED_DIRTY;
    world.poke(LEAF, 0, used);
    let mut update = EntryUpdate {
        table: LEAF,
        index: 0,
        value: entry(data(DOMU, 0), P | US),
        mode: UpdateMode::PreserveAd,
        page_owner: DOMU,
    };
    // The CPU sets the dirty bit between the look and the store.
    world.poke(LEAF, 0, used & !pte::DIRTY);
    world.race_next_exchange(LEAF, 0, used);
    dom.apply(&update).expect("good");
    let expected = entry(data(DOMU, 0), P | US | pte::GLOBAL | Entry::ACCESSED_DIRTY);
    assert_eq!(world.peek(LEAF, 0), expected);
    update.mode = UpdateMode::Normal;
    dom.apply(&update).expect("good");
    assert_eq!(world.peek(LEAF, 0) & Entry::ACCESSED_DIRTY, 0);
}

#[test]
fn update_by_address_finds_the_leaf_table_of_the_root() {
    let world = world();
    let mut dom = pinned(&world);
    let tables = dom.tables();
    let mut update = |va, value| {
        tables.update_va_mapping(
            &mut dom.mmu,
            ROOT,
            GuestVa::new(va),
            value,
            DOMU,
            &mut ENDLESS.clone(),
        )
    };
    update(0x5_000, entry(data(DOMU, 7), P | RW | US)).expect("mapped");
    let missing = Err(PageError::NoLeafTable.into());
    assert_eq!(update(0x20_0000, 0), missing, "no leaf table there");
    assert_eq!(update(0xffff_8000_0000_0000, 0), missing, "the hypervisor's");
    assert_eq!(update(0x8000_0000_0000, 0), missing, "not canonical");
    let found = tables.translate(ROOT, GuestVa::new(0x5_123)).expect("mapped");
    assert_eq!((found.mfn, found.is_writable), (data(DOMU, 7), true));
    assert_eq!(tables.leaf_place(ROOT, GuestVa::new(0x5_123)), Some((LEAF, 5)));
    let read_only = tables.translate(ROOT, GuestVa::new(0x1_000)).expect("mapped");
    assert!(!read_only.is_writable);
    assert_eq!(tables.translate(ROOT, GuestVa::new(0x6_000)), None);
    // Each level can take the right away from all below it.
    for (upper, target) in [(ROOT, TOP), (TOP, MIDDLE), (MIDDLE, LEAF)] {
        let _ = dom.update(upper, 0, entry(target, P | US)).expect("less");
        let found = dom.tables().translate(ROOT, GuestVa::new(0x5_123)).expect("mapped");
        assert!(!found.is_writable);
        let _ = dom.update(upper, 0, entry(target, P | RW | US)).expect("as before");
    }
}

#[test]
fn table_reached_through_a_linear_entry_is_no_leaf_table() {
    let world = world();
    let mut dom = pinned(&world);
    let _ = dom.update(ROOT, 300, entry(ROOT, P | US)).expect("linear");
    // Slot 300 four times: the "leaf table" of this address is the root itself.
    let va = GuestVa::new(300 << 39 | 300 << 30 | 300 << 21 | 300 << 12 | 0xffff << 48);
    assert_eq!(leaf_slot(&dom.tables(), va), None);
    let seen = dom.tables().translate(ROOT, va).expect("readable");
    assert_eq!(seen.mfn, ROOT);
    assert!(!seen.is_writable);
    // One level less: the address shows the leaf table's place as an entry of the directory.
    let va = GuestVa::new(300 << 39 | 0xffff << 48);
    assert_eq!(leaf_slot(&dom.tables(), va), None);
}

#[test]
fn emulated_store_is_checked_like_an_update_and_lost_races_are_told() {
    let world = world();
    let mut dom = pinned(&world);
    let tables = dom.tables();
    let old = world.peek(LEAF, 0);
    let new = entry(data(DOMU, 4), P | RW | US);
    let mut store = |index, expected, new| {
        let instruction = |old| (old == expected).then_some(new);
        let budget = &mut ENDLESS.clone();
        tables.update_leaf_from_emulation(&mut dom.mmu, LEAF, index, instruction, budget)
    };
    let changed = Err(PageError::EntryChanged.into());
    assert_eq!(store(0, old ^ pte::DIRTY, entry(ROOT, P | RW | US)), Ok(()), "nothing to store");
    assert_eq!(world.peek(LEAF, 0), old);
    world.race_next_exchange(LEAF, 0, old | pte::ACCESSED);
    assert_eq!(store(0, old, new), changed);
    assert_eq!(recount::check(&world, &[]), Ok(()));
    let old = old | pte::ACCESSED;
    assert_eq!(store(0, old, entry(ROOT, P | RW | US)), Err(PageError::CannotMap.into()));
    store(0, old, new).expect("good");
    assert_eq!(world.peek(LEAF, 0), new | pte::GLOBAL);
    assert_eq!(store(512, 0, 0), Err(PageError::NoLeafTable.into()));
    assert_eq!(recount::check(&world, &[]), Ok(()));
}

#[test]
fn grant_entry_is_swapped_only_if_frame_and_permission_match() {
    let world = world();
    let dom = pinned(&world);
    let tables = dom.tables();
    let granted = data(DOM0, 2);
    let held = get_writable(&world, granted, DOM0).expect("memory");
    let new = Entry::new(entry(held.into_raw(), P | RW | US));
    let replaced = tables.swap_leaf(LEAF, 8, new, None).expect("a leaf table");
    tables.drop_leaf(replaced);
    let expect =
        |mfn, is_writable| Some(Entry::new(entry(mfn, if is_writable { P | RW } else { P })));
    let changed = Err(PageError::EntryChanged);
    assert_eq!(tables.swap_leaf(LEAF, 8, Entry::new(0), expect(granted, false)), changed);
    assert_eq!(tables.swap_leaf(LEAF, 8, Entry::new(0), expect(data(DOM0, 3), true)), changed);
    assert_eq!(tables.swap_leaf(LEAF, 7, Entry::new(0), expect(granted, true)), changed);
    let no_leaf = Err(PageError::NoLeafTable);
    assert_eq!(tables.swap_leaf(MIDDLE, 8, Entry::new(0), None), no_leaf);
    let old = tables.swap_leaf(LEAF, 8, Entry::new(0), expect(granted, true)).expect("matches");
    assert_eq!(old, new);
    tables.drop_leaf(old);
    assert_eq!(recount::check(&world, &[]), Ok(()));
}
