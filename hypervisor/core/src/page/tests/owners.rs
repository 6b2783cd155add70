//! Rules about frames of others, devices and special frames.

use hypercall_abi::mmu::pte;
use hypercall_abi::{DomId, Errno, GuestVa, Mfn};

use super::super::testkit::FrameWorld;
use super::super::{
    get_page, release_special, steal, Entry, EntryUpdate, Level, PageError, PageTables, PageType,
    State, UpdateMode,
};
use super::fixture::{
    data, entry, leaf_slot, pinned, privileged, release_allocation, table, world, Dom, DOM0, DOMU,
    ENDLESS, FRAMES_PER_DOMAIN, LEAF, MIDDLE, P, ROOT, RW, TOP, US,
};
use super::recount;

const PWT: u64 = 1 << 3;
const PCD: u64 = 1 << 4;
const BIT7: u64 = 1 << 7;

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
    assert_eq!(leaf_slot(&dom0.tables(), GuestVa::new(0)), None);
    assert!(leaf_slot(&domu.tables(), GuestVa::new(0)).is_some());
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
    world.assign(special, DOM0, State::special(PageType::Writable)).expect("dead");
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
    world.assign(special, DOMU, State::special(PageType::Writable)).expect("dead");
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
    world.assign(list, DomId::XEN, State::special(PageType::Shared)).expect("dead");
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
