//! Single rules of direct paging, one test each.

use hypercall_abi::mmu::pte;
use hypercall_abi::{DomId, Errno, GuestVa, Mfn};

use super::super::testkit::FrameWorld;
use super::super::{
    assign, get_page, get_writable, page_type_info, put_writable, release_allocation,
    release_special, steal, Entry, EntryUpdate, ExpectedLeaf, Level, PageError, PageHost,
    PageTables, PageType, State, UpdateMode,
};
use super::fixture::{
    base, data, entry, plant_tree, table, world, Dom, DOM0, DOMU, ENDLESS, FRAMES_PER_DOMAIN, P,
    RW, US,
};
use super::recount::{self, Held};

const PWT: u64 = 1 << 3;
const PCD: u64 = 1 << 4;
const BIT7: u64 = 1 << 7;

const ROOT: Mfn = table(DOMU, Level::L4, 0);
const TOP: Mfn = table(DOMU, Level::L3, 0);
const MIDDLE: Mfn = table(DOMU, Level::L2, 0);
const LEAF: Mfn = table(DOMU, Level::L1, 0);

/// A plain domain whose planted tree is pinned.
fn pinned(world: &FrameWorld) -> Dom<'_> {
    plant_tree(world, DOMU);
    let mut dom = Dom::new(world, DOMU);
    dom.pin(ROOT, Level::L4).expect("the planted tree is good");
    dom
}

/// The privileged domain with a pinned leaf table.
fn privileged(world: &FrameWorld) -> (Dom<'_>, Mfn) {
    let mut dom = Dom::new(world, DOM0);
    let leaf = table(DOM0, Level::L1, 0);
    dom.pin(leaf, Level::L1).expect("empty");
    (dom, leaf)
}

#[test]
fn pin_validates_the_whole_tree_and_unpin_takes_it_apart() {
    let world = world();
    let mut dom = pinned(&world);
    for (mfn, level) in
        [(ROOT, Level::L4), (TOP, Level::L3), (MIDDLE, Level::L2), (LEAF, Level::L1)]
    {
        assert!(world.state(mfn).is_valid_table(level.page_type()));
    }
    assert_eq!(recount::check(&world, &[]), Ok(()));
    assert_eq!(world.state(data(DOMU, 0)).type_count(), 1);
    dom.unpin(ROOT).expect("pinned");
    assert_eq!(recount::check(&world, &[]), Ok(()));
    assert_eq!(world.state(data(DOMU, 0)).ref_count(), 0);
}

#[test]
fn pinning_twice_and_unpinning_twice_is_refused() {
    let world = world();
    let mut dom = pinned(&world);
    assert_eq!(dom.pin(ROOT, Level::L4), Err(PageError::AlreadyPinned));
    assert_eq!(dom.pin(LEAF, Level::L1), Ok(()));
    assert_eq!(dom.unpin(LEAF), Ok(()));
    assert_eq!(dom.unpin(LEAF), Err(PageError::NotPinned));
    assert_eq!(dom.unpin(data(DOM0, 0)), Err(PageError::NotOwned));
    assert_eq!(dom.pin(data(DOM0, 0), Level::L1), Err(PageError::NotOwned));
    assert_eq!(dom.pin(Mfn::new(1 << 50), Level::L1), Err(PageError::BadFrame));
    assert_eq!(recount::check(&world, &[]), Ok(()));
}

#[test]
fn stored_entries_are_adjusted_as_the_interface_says() {
    let world = world();
    let mut dom = Dom::new(&world, DOMU);
    world.poke(ROOT, 3, entry(TOP, P));
    world.poke(LEAF, 0, entry(data(DOMU, 0), P));
    dom.pin(ROOT, Level::L4).expect("good");
    dom.pin(LEAF, Level::L1).expect("good");
    assert_eq!(world.peek(ROOT, 3), entry(TOP, P | US | pte::ACCESSED));
    assert_eq!(world.peek(LEAF, 0), entry(data(DOMU, 0), P | US | pte::GUEST_KERNEL));
    dom.update(LEAF, 1, entry(data(DOMU, 1), P | US)).expect("good");
    assert_eq!(world.peek(LEAF, 1), entry(data(DOMU, 1), P | US | pte::GLOBAL));
    // What a guest reads back it may store again.
    for index in 0..2 {
        let stored = world.peek(LEAF, index);
        dom.update(LEAF, index, stored).expect("read back");
        assert_eq!(world.peek(LEAF, index), stored);
    }
}

#[test]
fn hypervisor_slots_are_filled_at_validation_and_cannot_be_stored_to() {
    let world = world();
    plant_tree(&world, DOMU);
    let mut dom = Dom::new(&world, DOMU);
    for slot in 256..=271 {
        // Not even looked at: this would be a bad entry.
        world.poke(ROOT, slot, u64::MAX);
    }
    dom.pin(ROOT, Level::L4).expect("the slots are not the guest's");
    for slot in 256..=271 {
        assert_eq!(world.peek(ROOT, slot), world.hv_slot(slot, ROOT));
        for value in [0, entry(TOP, P), world.hv_slot(slot, ROOT)] {
            assert_eq!(dom.update(ROOT, slot, value), Err(PageError::HypervisorSlot));
        }
    }
    assert_eq!(dom.update(ROOT, 272, 0), Ok(false));
    assert_eq!(recount::check(&world, &[]), Ok(()));
}

#[test]
fn writable_frame_cannot_become_a_table_and_a_table_cannot_be_mapped_writable() {
    let world = world();
    let mut dom = pinned(&world);
    for frame in [ROOT, TOP, MIDDLE, LEAF] {
        let refused = dom.update(LEAF, 9, entry(frame, P | RW | US));
        assert_eq!(refused, Err(PageError::CannotMap));
        assert_eq!(Errno::from(PageError::CannotMap), Errno::EBUSY);
        dom.update(LEAF, 9, entry(frame, P | US)).expect("reading is always possible");
        assert_eq!(get_writable(&world, frame, DOMU), Err(PageError::TypeConflict));
    }
    // data 0 is mapped writable.
    for level in Level::ALL {
        assert_eq!(dom.pin(data(DOMU, 0), level), Err(PageError::TypeConflict));
    }
    dom.update(LEAF, 0, 0).expect("unmapped");
    dom.pin(data(DOMU, 0), Level::L2).expect("free to become a table");
    assert_eq!(recount::check(&world, &[]), Ok(()));
}

#[test]
fn leaf_table_that_maps_itself_writable_cannot_be_pinned() {
    let world = world();
    let mut dom = Dom::new(&world, DOMU);
    world.poke(LEAF, 0, entry(LEAF, P | RW | US));
    assert_eq!(dom.pin(LEAF, Level::L1), Err(PageError::CannotMap));
    assert_eq!(recount::check(&world, &[]), Ok(()));
    world.poke(LEAF, 0, entry(LEAF, P | US));
    dom.pin(LEAF, Level::L1).expect("read-only is fine");
    dom.unpin(LEAF).expect("pinned");
    assert_eq!(recount::check(&world, &[]), Ok(()));
}

#[test]
fn forbidden_bits_are_refused_at_each_level() {
    let world = world();
    let mut dom = pinned(&world);
    for bit in [PWT, PCD, BIT7] {
        let value = entry(data(DOMU, 3), P | US | bit);
        assert_eq!(dom.update(LEAF, 8, value), Err(PageError::BadFlags), "L1 bit {bit:#x}");
    }
    for (upper, target) in [(ROOT, TOP), (TOP, MIDDLE), (MIDDLE, LEAF)] {
        for bit in [PWT, PCD, BIT7, pte::GLOBAL] {
            // Entry 0 is there already: with the same permission only the bit is new.
            for (index, flags) in [(0, P | RW | US), (0, P | US), (8, P | US)] {
                let value = entry(target, flags | bit);
                assert_eq!(dom.update(upper, index, value), Err(PageError::BadFlags));
            }
        }
    }
    // Absent entries may hold anything.
    dom.update(LEAF, 8, !P).expect("absent");
    let _ = dom.update(MIDDLE, 8, !P).expect("absent");
    assert_eq!(recount::check(&world, &[]), Ok(()));
}

#[test]
fn table_with_a_forbidden_entry_is_refused_and_nothing_is_left() {
    let world = world();
    plant_tree(&world, DOMU);
    world.poke(LEAF, 511, entry(data(DOMU, 4), P | US | BIT7));
    let mut dom = Dom::new(&world, DOMU);
    assert_eq!(dom.pin(ROOT, Level::L4), Err(PageError::BadFlags));
    assert_eq!(recount::check(&world, &[]), Ok(()));
    for number in base(DOMU)..base(DOMU) + FRAMES_PER_DOMAIN {
        let state = world.state(Mfn::new(number));
        assert_eq!((state.ref_count(), state.type_count()), (0, 0));
    }
}

#[test]
fn unvalidated_table_is_plain_memory() {
    let world = world();
    let mut dom = Dom::new(&world, DOMU);
    assert_eq!(dom.update(LEAF, 3, u64::MAX), Ok(false));
    assert_eq!(world.peek(LEAF, 3), u64::MAX);
    assert_eq!(dom.update(data(DOM0, 0), 3, 0), Err(PageError::NotOwned));
    assert_eq!(dom.update(Mfn::new(4096), 3, 0), Err(PageError::BadFrame));
    assert_eq!(dom.update(LEAF, 512, 0), Err(PageError::BadFrame));
}

#[test]
fn frames_of_others_need_the_right_to_map_them() {
    let world = world();
    let mut domu = pinned(&world);
    let theirs = entry(data(DOM0, 0), P | US);
    assert_eq!(domu.update(LEAF, 8, theirs), Err(PageError::CannotMap));
    // A plain domain that names the owner has been refused before it comes here; as page owner
    // the other domain is taken at its word.
    let (mut dom0, leaf) = privileged(&world);
    let foreign = entry(data(DOMU, 3), P | RW | US);
    assert_eq!(dom0.update(leaf, 0, foreign), Err(PageError::CannotMap));
    dom0.update_of(leaf, 0, foreign, DOMU).expect("named owner");
    assert_eq!(world.state(data(DOMU, 3)).type_count(), 1);
    assert_eq!(domu.pin(data(DOMU, 3), Level::L1), Err(PageError::TypeConflict));
    dom0.update(leaf, 0, 0).expect("unmapped");
    domu.pin(data(DOMU, 3), Level::L1).expect("free again");
    assert_eq!(recount::check(&world, &[]), Ok(()));
}

#[test]
fn tables_of_another_domain_cannot_be_changed() {
    let world = world();
    let domu = pinned(&world);
    let (mut dom0, _) = privileged(&world);
    for table in [ROOT, TOP, MIDDLE, LEAF] {
        assert_eq!(dom0.update(table, 8, 0), Err(PageError::NotOwned));
        assert_eq!(dom0.unpin(table), Err(PageError::NotOwned));
        assert_eq!(dom0.switch_root(table, None), Err(PageError::NotOwned));
    }
    let no_leaf = Err(PageError::NoLeafTable);
    assert_eq!(dom0.tables().swap_leaf(LEAF, 8, Entry::new(0), None), no_leaf);
    assert_eq!(dom0.tables().leaf_slot(ROOT, GuestVa::new(0)), None);
    assert!(domu.tables().leaf_slot(ROOT, GuestVa::new(0)).is_some());
    assert_eq!(recount::check(&world, &[]), Ok(()));
}

#[test]
fn read_only_mapping_is_flushed_before_the_frame_gets_a_new_owner() {
    let world = world();
    let mut dom = pinned(&world);
    world.watch();
    let frame = data(DOMU, 1);
    dom.update(LEAF, 1, 0).expect("was read-only");
    release_allocation(&world, frame, DOMU).expect("own");
    world.give(DOM0, frame.get()..frame.get() + 1);
    assert_eq!(world.violations(), Vec::<String>::new());
}

#[test]
fn frame_given_up_lives_until_its_last_mapping_goes() {
    let world = world();
    let (mut dom0, leaf) = privileged(&world);
    let mfn = data(DOMU, 5);
    dom0.update_of(leaf, 0, entry(mfn, P | RW | US), DOMU).expect("privileged");
    release_allocation(&world, mfn, DOMU).expect("own");
    assert_eq!(release_allocation(&world, mfn, DOMU), Err(PageError::InUse));
    assert!(world.released().is_empty());
    dom0.update(leaf, 0, 0).expect("unmapped");
    assert_eq!(world.released(), vec![(mfn, DOMU)]);
    assert_eq!(get_page(&world, mfn, DOMU), Err(PageError::NotOwned));
    assert_eq!(steal(&world, mfn, DOMU), Err(PageError::NotOwned));
}

#[test]
fn upper_entries_cannot_name_foreign_frames() {
    let world = world();
    let mut dom = pinned(&world);
    let foreign = entry(table(DOM0, Level::L1, 0), P | US);
    assert_eq!(dom.update_of(MIDDLE, 1, foreign, DOM0), Err(PageError::ForeignTable));
    assert_eq!(dom.update(MIDDLE, 1, foreign), Err(PageError::NotOwned));
    assert_eq!(Errno::from(PageError::NotOwned), Errno::EINVAL);
}

#[test]
fn replaced_upper_entry_asks_for_a_flush_and_a_filled_hole_does_not() {
    let world = world();
    let mut dom = pinned(&world);
    let second = entry(table(DOMU, Level::L1, 1), P | RW | US);
    assert_eq!(dom.update(MIDDLE, 1, second), Ok(false));
    assert_eq!(dom.update(MIDDLE, 1, second | pte::DIRTY), Ok(false));
    assert_eq!(dom.update(MIDDLE, 1, second & !RW), Ok(true));
    assert_eq!(dom.update(MIDDLE, 1, 0), Ok(true));
    assert_eq!(recount::check(&world, &[]), Ok(()));
}

#[test]
fn device_memory_needs_permission_and_takes_no_reference() {
    let world = world();
    let (mut dom0, leaf) = privileged(&world);
    let register = Mfn::new(2 * FRAMES_PER_DOMAIN + 1);
    dom0.update_of(leaf, 0, entry(register, P | RW | US), DomId::IO).expect("permitted");
    assert_eq!(world.peek(leaf, 0) & (PWT | PCD | BIT7 | RW), PWT | PCD | RW);
    dom0.update(leaf, 0, 0).expect("unmapped");

    let mut domu = pinned(&world);
    let refused = domu.update_of(LEAF, 8, entry(register, P | US), DomId::IO);
    assert_eq!(refused, Err(PageError::NoIomemPermission));
    assert_eq!(Errno::from(PageError::NoIomemPermission), Errno::EPERM);
    // The right of the one who asks is not enough: the owner of the tables will use the mapping.
    let tables = PageTables::new(&world, DOMU, DOM0);
    let mut update = EntryUpdate {
        table: LEAF,
        index: 8,
        value: entry(register, P | US),
        mode: UpdateMode::Normal,
        page_owner: DomId::IO,
    };
    let by_dom0 = tables.update_entry(&mut domu.mmu, &update, &mut ENDLESS.clone());
    assert_eq!(by_dom0, Err(PageError::NoIomemPermission.into()));
    update.table = leaf;
    let tables = PageTables::new(&world, DOM0, DOMU);
    let by_domu = tables.update_entry(&mut dom0.mmu, &update, &mut ENDLESS.clone());
    assert_eq!(by_domu, Err(PageError::NoIomemPermission.into()));
    let nowhere = domu.update(LEAF, 8, pte::FRAME_MASK | P | US);
    assert_eq!(nowhere, Err(PageError::BadFrame));
    assert_eq!(recount::check(&world, &[]), Ok(()));
}

#[test]
fn hole_in_the_frame_table_is_device_memory() {
    let world = FrameWorld::new(24);
    world.frame(Mfn::new(23)).declare_hole();
    world.give(DOM0, 0..23);
    let mut dom0 = Dom::new(&world, DOM0);
    let leaf = table(DOM0, Level::L1, 0);
    world.poke(leaf, 0, entry(Mfn::new(23), P | RW | US));
    dom0.pin(leaf, Level::L1).expect("permitted");
    assert_eq!(world.peek(leaf, 0) & (PWT | PCD), PWT | PCD);
    assert_eq!(dom0.pin(Mfn::new(23), Level::L1), Err(PageError::BadFrame));
    dom0.unpin(leaf).expect("pinned");
    assert_eq!(world.state(Mfn::new(23)), State::DEAD);
}

#[test]
fn uncached_mapping_of_memory_needs_device_rights_and_never_of_special_frames() {
    let world = world();
    let (mut dom0, leaf) = privileged(&world);
    let mfn = data(DOM0, 0);
    dom0.update(leaf, 0, entry(mfn, P | RW | US | PCD)).expect("has the rights");
    assert!(world.frame(mfn).is_noncoherent());
    dom0.update(leaf, 0, 0).expect("unmapped");
    dom0.pin(mfn, Level::L1).expect("memory");
    assert!(!world.frame(mfn).is_noncoherent(), "caches are written back before content is read");

    let special = data(DOM0, 1);
    release_allocation(&world, special, DOM0).expect("own");
    assign(&world, special, DOM0, State::special(PageType::Writable)).expect("dead");
    world.link(DOM0, special);
    let uncached = entry(special, P | US | PCD);
    assert_eq!(dom0.update(leaf, 1, uncached), Err(PageError::CacheAttribute));
    assert_eq!(Errno::from(PageError::CacheAttribute), Errno::EACCES);
    dom0.update(leaf, 1, entry(special, P | RW | US)).expect("cached");
    assert_eq!(recount::check(&world, &[]), Ok(()));
}

#[test]
fn special_frame_lives_as_long_as_it_is_mapped() {
    let world = world();
    let mut dom = pinned(&world);
    let special = data(DOMU, 6);
    release_allocation(&world, special, DOMU).expect("own");
    assign(&world, special, DOMU, State::special(PageType::Writable)).expect("dead");
    world.link(DOMU, special);
    let released_before = world.released().len();
    dom.update(LEAF, 8, entry(special, P | RW | US)).expect("shared");
    assert_eq!(dom.pin(special, Level::L1), Err(PageError::TypeConflict));
    assert_eq!(steal(&world, special, DOMU), Err(PageError::InUse));
    assert_eq!(release_allocation(&world, special, DOMU), Err(PageError::InUse));
    release_special(&world, special).expect("special");
    assert_eq!(release_special(&world, special), Err(PageError::InUse));
    assert_eq!(world.released().len(), released_before);
    dom.update(LEAF, 8, 0).expect("unmapped");
    assert_eq!(world.released().len(), released_before + 1);
}

#[test]
fn read_only_special_frame_cannot_be_mapped_writable() {
    let world = FrameWorld::new(2 * FRAMES_PER_DOMAIN as usize);
    world.give(DOM0, 0..20);
    let list = Mfn::new(21);
    assign(&world, list, DomId::XEN, State::special(PageType::Shared)).expect("dead");
    let (mut dom0, leaf) = privileged(&world);
    let writable = dom0.update_of(leaf, 0, entry(list, P | RW | US), DomId::XEN);
    assert_eq!(writable, Err(PageError::CannotMap));
    dom0.update_of(leaf, 0, entry(list, P | US), DomId::XEN).expect("read-only");
}

#[test]
fn change_of_owner_forgets_that_descriptors_were_checked() {
    let world = world();
    let mut dom = Dom::new(&world, DOMU);
    let page = data(DOMU, 0);
    dom.tables().get_descriptor_page(&mut dom.mmu, page, &mut ENDLESS.clone()).expect("zeroes");
    dom.tables().put_descriptor_page(page);
    assert!(world.state(page).is_validated(), "kept as a cache while nobody can write");
    steal(&world, page, DOMU).expect("only the allocation");
    world.unlink(DOMU, page);
    world.flush_all();
    world.give(DOM0, page.get()..page.get() + 1);
    assert_eq!(world.state(page), State::ALLOCATED);
}

#[test]
fn descriptor_page_is_checked_fixed_up_and_not_writable() {
    let world = world();
    let mut dom = pinned(&world);
    let page = data(DOMU, 3);
    let code_ring_0 = 0x00af_9b00_0000_ffff;
    let code_ring_3 = 0x00af_fb00_0000_ffff;
    let task_state = 0x0000_8900_0000_0067;
    world.poke(page, 1, code_ring_0);
    world.poke(page, 2, task_state);
    let take = |dom: &mut Dom<'_>| {
        dom.tables().get_descriptor_page(&mut dom.mmu, page, &mut ENDLESS.clone())
    };
    assert_eq!(take(&mut dom), Err(PageError::BadDescriptor.into()));
    assert_eq!(recount::check(&world, &[]), Ok(()));
    world.poke(page, 2, 0);
    take(&mut dom).expect("acceptable now");
    assert_eq!(world.peek(page, 1), code_ring_3);
    let writable = dom.update(LEAF, 8, entry(page, P | RW | US));
    assert_eq!(writable, Err(PageError::CannotMap));
    assert_eq!(dom.update(page, 3, 0), Err(PageError::TypeConflict));
    let tables = dom.tables();
    let mut store =
        |index, raw| tables.update_descriptor(&mut dom.mmu, page, index, raw, &mut ENDLESS.clone());
    store(3, code_ring_0).expect("fixed up");
    assert_eq!(store(4, task_state), Err(PageError::BadDescriptor.into()));
    assert_eq!(world.peek(page, 3), code_ring_3);
    assert_eq!(world.peek(page, 4), 0);
    assert_eq!(recount::check(&world, &[Held::Typed(page)]), Ok(()));
}

#[test]
fn table_may_map_itself_read_only_at_every_level_above_the_leaf() {
    let world = world();
    let mut dom = pinned(&world);
    for upper in [ROOT, TOP, MIDDLE] {
        let refused = dom.update(upper, 300, entry(upper, P | RW | US));
        assert_eq!(refused, Err(PageError::TypeConflict));
        let _ = dom.update(upper, 300, entry(upper, P | US)).expect("linear");
    }
    assert_eq!(recount::check(&world, &[]), Ok(()));
    dom.unpin(ROOT).expect("pinned");
    assert_eq!(recount::check(&world, &[]), Ok(()));
    assert_eq!(world.state(ROOT).type_count(), 0);
    dom.pin(ROOT, Level::L4).expect("with the self maps in it");
    dom.relinquish();
    assert_eq!(world.released().len() as u64, FRAMES_PER_DOMAIN);
}

#[test]
fn linear_entries_to_other_tables_do_not_chain() {
    let world = world();
    let mut dom = pinned(&world);
    let other_root = table(DOMU, Level::L4, 1);
    // Not validated yet: not a table of its level.
    assert_eq!(dom.update(ROOT, 300, entry(other_root, P | US)), Ok(false));
    let _ = dom.update(ROOT, 300, 0).expect("it had become a table of the next level");
    dom.pin(other_root, Level::L4).expect("empty");
    let _ = dom.update(ROOT, 300, entry(other_root, P | US)).expect("linear");
    assert_eq!(recount::check(&world, &[]), Ok(()));
    // The other root is a target now, so it cannot have such an entry itself.
    let chain = dom.update(other_root, 300, entry(ROOT, P | US));
    assert_eq!(chain, Err(PageError::TypeConflict));
    dom.unpin(other_root).expect("pinned");
    assert!(world.state(other_root).is_validated(), "the linear entry keeps it");
    dom.unpin(ROOT).expect("pinned");
    assert_eq!(recount::check(&world, &[]), Ok(()));
    assert_eq!(world.state(other_root).type_count(), 0);
}

#[test]
fn table_with_linear_entries_is_no_target_and_a_target_has_none() {
    let world = world();
    let mut dom = Dom::new(&world, DOMU);
    let [first, second, third] = [0, 1, 2].map(|number| table(DOMU, Level::L2, number));
    for mfn in [first, second, third] {
        dom.pin(mfn, Level::L2).expect("empty");
    }
    let _ = dom.update(first, 0, entry(second, P | US)).expect("linear");
    let refused = Err(PageError::TypeConflict);
    assert_eq!(dom.update(second, 0, entry(third, P | US)), refused, "a target has no entries");
    assert_eq!(
        dom.update(third, 0, entry(first, P | US)),
        refused,
        "one with entries is no target"
    );
    let _ = dom.update(third, 0, entry(second, P | US)).expect("a second one to the same");
    assert_eq!(dom.update(first, 1, entry(third, P | RW | US)), refused, "never writable");
    assert_eq!(recount::check(&world, &[]), Ok(()));
}

#[test]
fn stale_writable_translation_is_flushed_before_a_frame_becomes_a_table() {
    let world = world();
    let mut dom = pinned(&world);
    let frame = data(DOMU, 0);
    world.watch();
    dom.update(LEAF, 0, 0).expect("unmapped, but a CPU may remember");
    let before = world.flush_count();
    dom.pin(frame, Level::L1).expect("memory");
    assert_eq!(world.flush_count(), before + 1);
    world.watch();
    assert_eq!(world.violations(), Vec::<String>::new());
    // With a flush in between anyhow, none is made.
    dom.unpin(frame).expect("pinned");
    dom.update(LEAF, 0, entry(frame, P | RW | US)).expect("memory again");
    dom.update(LEAF, 0, 0).expect("mapped");
    world.flush_all();
    let before = world.flush_count();
    dom.pin(frame, Level::L1).expect("memory");
    assert_eq!(world.flush_count(), before);
}

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
    assert_eq!((found.mfn(), found.table, found.index), (data(DOMU, 7), LEAF, 5));
    assert!(found.is_writable && found.is_executable);
    let read_only = tables.translate(ROOT, GuestVa::new(0x1_000)).expect("mapped");
    assert!(!read_only.is_writable && read_only.is_executable);
    assert_eq!(tables.translate(ROOT, GuestVa::new(0x6_000)), None);
    // Each level can take a right away from all below it.
    for (upper, target) in [(ROOT, TOP), (TOP, MIDDLE), (MIDDLE, LEAF)] {
        let _ = dom.update(upper, 0, entry(target, P | US | pte::NX)).expect("less");
        let found = dom.tables().translate(ROOT, GuestVa::new(0x5_123)).expect("mapped");
        assert!(!found.is_writable && !found.is_executable);
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
    assert_eq!(dom.tables().leaf_slot(ROOT, va), None);
    let seen = dom.tables().translate(ROOT, va).expect("readable");
    assert_eq!(seen.mfn(), ROOT);
    assert!(!seen.is_writable);
    // One level less: the address shows the leaf table's place as an entry of the directory.
    let va = GuestVa::new(300 << 39 | 0xffff << 48);
    assert_eq!(dom.tables().leaf_slot(ROOT, va), None);
}

#[test]
fn emulated_store_is_checked_like_an_update_and_lost_races_are_told() {
    let world = world();
    let mut dom = pinned(&world);
    let tables = dom.tables();
    let old = world.peek(LEAF, 0);
    let new = entry(data(DOMU, 4), P | RW | US);
    let mut store = |index, old, new| {
        tables.update_leaf_from_emulation(&mut dom.mmu, LEAF, index, old, new, &mut ENDLESS.clone())
    };
    let changed = Err(PageError::EntryChanged.into());
    assert_eq!(store(0, old ^ pte::DIRTY, new), changed);
    assert_eq!(store(0, old ^ pte::DIRTY, entry(ROOT, P | RW | US)), changed, "not looked at");
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
    let expect = |mfn, is_writable| Some(ExpectedLeaf { mfn, is_writable });
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

#[test]
fn roots_are_switched_whole_or_not_at_all() {
    let world = world();
    plant_tree(&world, DOMU);
    let mut dom = Dom::new(&world, DOMU);
    let second = table(DOMU, Level::L4, 1);
    dom.switch_root(ROOT, None).expect("good");
    world.poke(second, 0, entry(data(DOM0, 0), P | US));
    assert_eq!(dom.switch_root(second, Some(ROOT)), Err(PageError::NotOwned));
    assert!(world.state(ROOT).is_validated());
    world.poke(second, 0, entry(TOP, P | US));
    dom.switch_root(second, Some(ROOT)).expect("good");
    assert_eq!(world.state(ROOT).type_count(), 0);
    assert!(world.state(TOP).is_validated(), "shared with the new root");
    dom.switch_root(second, Some(second)).expect("the same again");
    dom.put_root(second);
    assert_eq!(recount::check(&world, &[]), Ok(()));
    assert_eq!(world.state(TOP).type_count(), 0);
}

#[test]
fn teardown_releases_all_frames_but_those_others_still_map() {
    let world = world();
    let mut domu = pinned(&world);
    let _ = domu.update(ROOT, 300, entry(ROOT, P | US)).expect("linear");
    domu.pin(LEAF, Level::L1).expect("pinned as well");
    let (mut dom0, leaf) = privileged(&world);
    let kept = data(DOMU, 9);
    dom0.update_of(leaf, 0, entry(kept, P | RW | US), DOMU).expect("privileged");
    domu.relinquish();
    assert_eq!(world.released().len() as u64, FRAMES_PER_DOMAIN - 1);
    assert_eq!(world.state(kept).type_count(), 1);
    dom0.update(leaf, 0, 0).expect("unmapped");
    assert_eq!(world.released().len() as u64, FRAMES_PER_DOMAIN);
    assert_eq!(world.violations(), Vec::<String>::new());
}

#[test]
fn page_type_is_told_as_it_is_now() {
    let world = world();
    let mut dom = pinned(&world);
    let told = |mfn| page_type_info(&world, mfn).map(|info| (info.page_type, info.is_pinned));
    assert_eq!(told(ROOT), Some((PageType::L4, true)));
    assert_eq!(told(LEAF), Some((PageType::L1, false)));
    assert_eq!(told(data(DOMU, 0)), Some((PageType::Writable, false)));
    assert_eq!(told(data(DOMU, 1)), Some((PageType::None, false)));
    assert_eq!(told(Mfn::new(1 << 40)), None);
    dom.unpin(ROOT).expect("pinned");
    assert_eq!(told(ROOT), Some((PageType::None, false)));
}

#[test]
fn writable_reference_keeps_a_frame_from_becoming_a_table() {
    let world = world();
    let mut dom = Dom::new(&world, DOMU);
    let held = get_writable(&world, LEAF, DOMU).expect("memory");
    assert_eq!(dom.pin(LEAF, Level::L1), Err(PageError::TypeConflict));
    put_writable(&world, held);
    dom.pin(LEAF, Level::L1).expect("free");
}
