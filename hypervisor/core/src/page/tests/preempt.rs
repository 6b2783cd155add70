//! Preemption at any unit changes nothing but the time.

use proptest::prelude::*;

use super::super::{Level, PageError, Stop};
use super::fixture::{data, entry, plant_tree, table, world, Dom, DOM0, DOMU, ENDLESS, P, RW, US};
use super::program::{patient_program, Machine};
use super::recount::{self, Held};

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn small_budgets_give_the_same_verdicts_and_the_same_world(
        program in patient_program(),
        budget in prop_oneof![Just(0u32), Just(1), 2..40u32, 500..1100u32],
    ) {
        let (whole_world, small_world) = (world(), world());
        for world in [&whole_world, &small_world] {
            plant_tree(world, DOM0);
            plant_tree(world, DOMU);
        }
        let mut whole = Machine::new(&whole_world, ENDLESS);
        let mut small = Machine::new(&small_world, budget);
        for step in &program {
            let verdict = whole.run(step);
            prop_assert_eq!(verdict, small.run(step), "{:?}", step);
            small.settle();
            whole.settle();
            prop_assert_eq!(whole.states(), small.states(), "after {:?}", step);
        }
        prop_assert!(whole_world.memory() == small_world.memory(), "the worlds differ");
        prop_assert_eq!(small_world.violations(), Vec::<String>::new());
    }
}

/// Calls until the answer, and counts the calls that were preempted.
fn patiently<T>(mut call: impl FnMut(&mut u32) -> Result<T, Stop>) -> (Result<T, PageError>, u32) {
    for preemptions in 0.. {
        match call(&mut 1) {
            Ok(value) => return (Ok(value), preemptions),
            Err(Stop::Refused(error)) => return (Err(error), preemptions),
            Err(Stop::Preempted) => assert!(preemptions < 100_000, "no progress"),
        }
    }
    unreachable!("the loop has no end")
}

#[test]
fn pin_with_budget_one_makes_progress_and_succeeds() {
    let world = world();
    plant_tree(&world, DOMU);
    let mut dom = Dom::new(&world, DOMU);
    let (root, tables) = (table(DOMU, Level::L4, 0), dom.tables());
    let (result, preemptions) =
        patiently(|budget| tables.pin(&mut dom.mmu, root, Level::L4, budget));
    assert_eq!(result, Ok(()));
    assert!(preemptions > 1000, "only {preemptions} preemptions");
    assert!(world.state(root).is_pinned());
    assert_eq!(recount::check(&world, &[]), Ok(()));
}

#[test]
fn failed_pin_with_budget_one_gives_the_error_and_undoes_everything() {
    let world = world();
    plant_tree(&world, DOMU);
    // The last entry of the root cannot be validated: its table is held writable.
    world.poke(table(DOMU, Level::L4, 0), 511, entry(table(DOMU, Level::L3, 1), P | RW | US));
    let mut dom = Dom::new(&world, DOMU);
    let blocker = super::super::get_writable(&world, table(DOMU, Level::L3, 1), DOMU).expect("own");
    let (root, tables) = (table(DOMU, Level::L4, 0), dom.tables());
    let (result, _) = patiently(|budget| tables.pin(&mut dom.mmu, root, Level::L4, budget));
    assert_eq!(result, Err(PageError::TypeConflict));
    assert!(dom.mmu.is_quiet());
    assert_eq!(recount::check(&world, &[Held::Typed(blocker.into_raw())]), Ok(()));
    assert_eq!(world.state(table(DOMU, Level::L1, 0)).type_count(), 0);
}

#[test]
fn validation_nobody_comes_back_for_is_dropped_by_the_next_operation() {
    let world = world();
    plant_tree(&world, DOMU);
    let mut dom = Dom::new(&world, DOMU);
    let root = table(DOMU, Level::L4, 0);
    let first = dom.tables().pin(&mut dom.mmu, root, Level::L4, &mut 3);
    assert_eq!(first, Err(Stop::Preempted));
    // Another operation of the domain finishes the walk, and lets go of what it has validated.
    dom.update(data(DOMU, 5), 0, 7).expect("plain memory");
    assert!(dom.mmu.is_quiet());
    assert_eq!(recount::check(&world, &[]), Ok(()));
    assert_eq!(world.state(root).type_count(), 0);
    dom.pin(root, Level::L4).expect("as good as ever");
}

#[test]
fn verdict_on_a_table_is_for_one_level_only() {
    let world = world();
    plant_tree(&world, DOMU);
    let mut dom = Dom::new(&world, DOMU);
    let mfn = table(DOMU, Level::L2, 0);
    let first = dom.tables().pin(&mut dom.mmu, mfn, Level::L2, &mut 3);
    assert_eq!(first, Err(Stop::Preempted));
    // The walk ends well, but this is another question, to which the answer is another.
    assert_eq!(dom.pin(mfn, Level::L4), Err(PageError::BadFlags));
    assert_eq!(recount::check(&world, &[]), Ok(()));

    let empty = table(DOMU, Level::L2, 1);
    let first = dom.tables().pin(&mut dom.mmu, empty, Level::L2, &mut 3);
    assert_eq!(first, Err(Stop::Preempted));
    dom.pin(empty, Level::L3).expect("free when the other use is gone");
    assert!(world.state(empty).is_valid_table(Level::L3.page_type()));
    assert_eq!(recount::check(&world, &[]), Ok(()));
}

#[test]
fn half_validated_table_cannot_be_used_or_written_by_another_domain() {
    let world = world();
    plant_tree(&world, DOMU);
    let mut domu = Dom::new(&world, DOMU);
    let root = table(DOMU, Level::L4, 0);
    let first = domu.tables().pin(&mut domu.mmu, root, Level::L4, &mut 3);
    assert_eq!(first, Err(Stop::Preempted));

    plant_tree(&world, DOM0);
    let mut dom0 = Dom::new(&world, DOM0);
    let leaf = table(DOM0, Level::L1, 0);
    dom0.pin(leaf, Level::L1).expect("good");
    let writable = dom0.update_of(leaf, 5, entry(root, P | RW | US), DOMU);
    assert_eq!(writable, Err(PageError::CannotMap));
    dom0.update_of(leaf, 5, entry(root, P | US), DOMU).expect("reading is always possible");
    domu.pin(root, Level::L4).expect("good");
    assert_eq!(recount::check(&world, &[]), Ok(()));
}

#[test]
fn large_tree_is_dropped_in_small_steps_while_other_operations_succeed() {
    let world = world();
    plant_tree(&world, DOMU);
    let mut dom = Dom::new(&world, DOMU);
    let root = table(DOMU, Level::L4, 0);
    dom.pin(root, Level::L4).expect("good");
    dom.tables().unpin(&mut dom.mmu, root, &mut 1).expect("pinned");
    assert!(dom.mmu.has_work());
    let tables = dom.tables();
    let (result, preemptions) =
        patiently(|budget| tables.pin(&mut dom.mmu, table(DOMU, Level::L1, 1), Level::L1, budget));
    assert_eq!(result, Ok(()));
    assert!(preemptions > 1000);
    assert!(!dom.mmu.has_work());
    assert_eq!(recount::check(&world, &[]), Ok(()));
}
