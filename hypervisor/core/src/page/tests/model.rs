//! Random programs: after every step all counts equal a recount, and nothing writable is a table.

use hypercall_abi::{DomId, Mfn};
use proptest::prelude::*;

use super::super::testkit::FrameWorld;
use super::super::State;
use super::fixture::{plant_tree, world, DOM0, DOMU, ENDLESS, FRAMES_PER_DOMAIN};
use super::program::{hasty_program, patient_program, Machine, Step};
use super::recount;

fn check_all_released_once(world: &FrameWorld, given: usize) -> Result<(), TestCaseError> {
    for number in 0..2 * FRAMES_PER_DOMAIN {
        let state = world.state(Mfn::new(number));
        prop_assert_eq!(state, State::DEAD, "{}", world.describe());
    }
    prop_assert_eq!(world.released().len(), given, "frames released and frames given differ");
    prop_assert_eq!(world.violations(), Vec::<String>::new());
    Ok(())
}

fn run(machine: &mut Machine<'_>, program: &[Step]) -> Result<(), TestCaseError> {
    for step in program {
        let before = machine.states();
        let was_quiet = machine.is_quiet();
        let verdict = machine.run(step);
        machine.world.watch();
        if !machine.is_quiet() {
            continue;
        }
        let counted = recount::check(machine.world, &machine.held());
        prop_assert!(counted.is_ok(), "after {:?} = {:?}: {:?}", step, verdict, counted);
        if let (true, Some(Err(error))) = (was_quiet, verdict) {
            check_refusal(machine, &before, step, error)?;
        }
    }
    Ok(())
}

/// A refused operation may leave another idle type behind, but no count.
fn check_refusal(
    machine: &Machine<'_>,
    before: &[(State, DomId)],
    step: &Step,
    error: super::super::PageError,
) -> Result<(), TestCaseError> {
    for (before, after) in before.iter().zip(machine.states()) {
        let (was, is) = (before.0, after.0);
        prop_assert_eq!(was.ref_count(), is.ref_count(), "{:?} refused: {:?}", step, error);
        prop_assert_eq!(was.type_count(), is.type_count(), "{:?} refused: {:?}", step, error);
        prop_assert_eq!(was.is_pinned(), is.is_pinned(), "{:?} refused: {:?}", step, error);
        prop_assert_eq!(before.1, after.1, "{:?} refused: {:?}", step, error);
    }
    Ok(())
}

fn run_to_the_end(program: &[Step], budget: u32) -> Result<(), TestCaseError> {
    let world = world();
    plant_tree(&world, DOM0);
    plant_tree(&world, DOMU);
    let mut machine = Machine::new(&world, budget);
    run(&mut machine, program)?;
    machine.tear_down();
    let given = 2 * FRAMES_PER_DOMAIN as usize + machine.taken_back;
    check_all_released_once(&world, given)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn counts_equal_a_recount_and_teardown_releases_every_frame_once(
        program in patient_program(),
    ) {
        run_to_the_end(&program, ENDLESS)?;
    }

    #[test]
    fn abandoned_operations_leave_nothing_behind(
        program in hasty_program(),
        budget in prop_oneof![Just(1u32), 1..600u32],
    ) {
        run_to_the_end(&program, budget)?;
    }
}
