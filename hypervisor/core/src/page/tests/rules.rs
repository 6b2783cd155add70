//! Rules about tables: what may become one, what it may hold, and how it ends.

use hypercall_abi::mmu::pte;
use hypercall_abi::{Errno, Mfn};

use super::super::{
    get_writable, page_type_info, put_writable, Level, PageError, PageHost, PageType,
};
use super::fixture::{
    base, data, entry, pinned, plant_tree, privileged, table, world, Dom, DOM0, DOMU, ENDLESS,
    FRAMES_PER_DOMAIN, LEAF, MIDDLE, P, ROOT, RW, TOP, US,
};
use super::recount::{self, Held};

const PWT: u64 = 1 << 3;
const PCD: u64 = 1 << 4;
const BIT7: u64 = 1 << 7;

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
