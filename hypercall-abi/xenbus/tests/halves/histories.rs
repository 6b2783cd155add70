//! Random histories: halves interleaved at will, killed and started again, disturbed by the tools and
//! by what others write. `PROPTEST_CASES` makes more of them.

use proptest::prelude::*;
use pv_xenbus::State;

use crate::model::{Event, Turn, World};
use crate::space::STEPS_TO_REST;

impl World {
    /// Lets both halves run until neither has anything to do.
    fn settle(&mut self) -> Result<(), TestCaseError> {
        let mut steps = 0;
        loop {
            let before = self.clone();
            let turns = [self.front_turn(false), self.back_turn(false)];
            steps += turns.into_iter().filter(|turn| *turn == Turn::Stepped).count();
            prop_assert!(steps <= usize::from(STEPS_TO_REST), "no rest after {steps} steps");
            if *self == before {
                return Ok(());
            }
        }
    }
}

/// Whatever our own halves and deaths can do.
fn own_event() -> impl Strategy<Value = Event> {
    prop_oneof![
        10 => Just(Event::Front(false)),
        10 => Just(Event::Back(false)),
        1 => Just(Event::KillFront),
        1 => Just(Event::KillBack),
    ]
}

/// Steps fail, and the tools change their mind.
fn tools_event() -> impl Strategy<Value = Event> {
    prop_oneof![
        20 => own_event(),
        1 => Just(Event::Front(true)),
        1 => Just(Event::Back(true)),
        1 => Just(Event::Offline),
        1 => Just(Event::Online),
        1 => Just(Event::RemoveFrontNodes),
        1 => Just(Event::RemoveBackNodes),
        2 => Just(Event::MakeNodes),
    ]
}

/// Halves are not alone in writing their nodes.
fn any_event() -> impl Strategy<Value = Event> {
    let state = || prop::sample::select(&State::ALL[..]);
    prop_oneof![
        20 => tools_event(),
        3 => state().prop_map(Event::FrontWrites),
        1 => state().prop_map(Event::BackWrites),
        1 => Just(Event::FrontNamesNoRings),
        1 => Just(Event::FrontNamesOtherRings),
    ]
}

fn published() -> impl Strategy<Value = State> {
    prop_oneof![Just(State::Initialised), Just(State::Connected)]
}

fn world_after(lies: bool, published: State, events: &[Event]) -> Result<World, TestCaseError> {
    let mut world = World::new(published, lies);
    events.iter().for_each(|event| world.event(*event));
    world.settle()?;
    Ok(world)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8 * ProptestConfig::default().cases))]

    /// Nothing fails and the tools want the device: it is in use in the end, with the same rings.
    #[test]
    fn deaths_and_restarts_end_connected(
        published in published(),
        events in prop::collection::vec(own_event(), 0..120),
    ) {
        let world = world_after(false, published, &events)?;
        prop_assert!(world.are_connected(), "{:?} after {events:?}", world.nodes);
    }

    /// No half uses rings that the other does not, or both have let go.
    #[test]
    fn failures_and_tools_leave_no_half_connection(
        published in published(),
        events in prop::collection::vec(tools_event(), 0..120),
    ) {
        let mut world = world_after(false, published, &events)?;
        prop_assert!(world.are_connected() || world.are_parted(), "{:?}", world.nodes);
        // The tools take the device away.
        world.event(Event::Offline);
        world.settle()?;
        prop_assert!(world.are_parted(), "{:?}", world.nodes);
    }

    /// Whatever others write: both halves come to rest, and without nodes both go.
    #[test]
    fn lies_come_to_rest_and_hold_nobody(
        published in published(),
        events in prop::collection::vec(any_event(), 0..120),
    ) {
        let mut world = world_after(true, published, &events)?;
        world.event(Event::RemoveFrontNodes);
        world.event(Event::RemoveBackNodes);
        world.settle()?;
        prop_assert!(world.front.is_none() && world.back.is_none(), "nodes gone, halves not");
        world.event(Event::MakeNodes);
        world.settle()?;
        prop_assert!(world.are_connected(), "{:?}", world.nodes);
    }

    /// What the tools wait for at an orderly end.
    #[test]
    fn a_device_that_is_taken_away_is_closed_by_both(
        published in published(),
        events in prop::collection::vec(own_event(), 0..120),
    ) {
        let mut world = world_after(false, published, &events)?;
        world.event(Event::Offline);
        world.settle()?;
        prop_assert!(world.are_closed(), "{:?}", world.nodes);
        // And given back.
        world.event(Event::Online);
        world.settle()?;
        world.event(Event::KillBack);
        world.settle()?;
        prop_assert!(world.are_connected(), "{:?}", world.nodes);
    }
}
