//! Everything that can come of two halves: no order of turns, deaths, failures, wishes of the tools and
//! lies is left out.

use pv_xenbus::State;

use crate::model::{Event, World};
use crate::space::{Space, FAILING, STEPS_TO_REST, STEPS_TO_REST_FAILING, WORKING};

const DEATHS: [Event; 2] = [Event::KillFront, Event::KillBack];

const TOOLS: [Event; 5] = [
    Event::Offline,
    Event::Online,
    Event::RemoveFrontNodes,
    Event::RemoveBackNodes,
    Event::MakeNodes,
];

/// One of each kind that the rules tell apart.
const SAID: [State; 7] = [
    State::Unknown,
    State::Initialising,
    State::InitWait,
    State::Connected,
    State::Closing,
    State::Closed,
    State::Reconfiguring,
];

const PUBLISHED: [State; 2] = [State::Initialised, State::Connected];

fn front_lies() -> Vec<Event> {
    let named = [Event::FrontNamesNoRings, Event::FrontNamesOtherRings];
    SAID.map(Event::FrontWrites).into_iter().chain(named).collect()
}

fn back_lies() -> Vec<Event> {
    SAID.map(Event::BackWrites).to_vec()
}

/// Everything with failures, deaths and tools, and with these lies.
fn space(published: State, lies: &[Event]) -> Space {
    let events = [&DEATHS[..], &TOOLS, lies].concat();
    Space::of([World::new(published, !lies.is_empty())], FAILING, &events)
}

/// From everywhere, in any order of turns.
fn comes_to_rest(space: &Space) {
    let (working, failing) = (space.steps_to_rest(WORKING), space.steps_to_rest(FAILING));
    println!("{} worlds, {working} steps, {failing} with failures", space.worlds.len());
    assert!(working <= STEPS_TO_REST && failing <= STEPS_TO_REST_FAILING, "{working}, {failing}");
}

/// Both are killed, or the nodes are removed and made anew: nothing of what was is in the way.
fn can_begin_anew(space: &Space) {
    let both = |world: &World| world.nodes.front.is_some() && world.nodes.back.is_some();
    let killed = [Event::KillFront, Event::KillBack, Event::Online];
    let begun = space.after(both, &killed);
    begun.all_rest(World::are_connected);
    let gone = space.after(|_| true, &[Event::RemoveFrontNodes, Event::RemoveBackNodes]);
    let are_gone = |world: &World| world.front.is_none() && world.back.is_none();
    gone.all_rest(are_gone);
    gone.after(are_gone, &[Event::MakeNodes]).all_rest(World::are_connected);
}

#[test]
fn halves_that_only_die_end_connected() {
    for published in PUBLISHED {
        let space = Space::of([World::new(published, false)], WORKING, &DEATHS);
        assert!(space.steps_to_rest(WORKING) <= STEPS_TO_REST);
        space.all_rest(World::are_connected);
        // And at an orderly end nothing stays open, in whatever the tools' wish came.
        space.after(|_| true, &[Event::Offline]).all_rest(World::are_closed);
    }
}

#[test]
fn failures_and_tools_leave_no_half_connection() {
    for published in PUBLISHED {
        let space = space(published, &[]);
        comes_to_rest(&space);
        space.all_rest(|world| world.are_connected() || world.are_parted());
        space.after(|_| true, &[Event::Offline]).all_rest(World::are_parted);
        can_begin_anew(&space);
    }
}

/// A front half whose domain writes what it likes costs itself, and only for some steps.
#[test]
fn lies_of_the_front_half_come_to_rest() {
    for published in PUBLISHED {
        let space = space(published, &front_lies());
        comes_to_rest(&space);
        can_begin_anew(&space);
        // It is never left with rings in use that nobody serves.
        let is_up = |world: &World| world.front.as_ref().is_some_and(|front| front.half.is_up());
        space.all_rest(|world| !is_up(world) || world.back_has_rings());
        // The back half of a device that is not wanted any more waits only for one who says it uses it.
        let uses = [State::Initialised, State::Connected, State::Closing, State::Reconfiguring];
        let says_so = |world: &World| world.nodes.front.is_some_and(|said| uses.contains(&said));
        space
            .after(|_| true, &[Event::Offline])
            .all_rest(|world| !world.back_has_rings() || says_so(world));
    }
}

/// A new front half begins wherever its node stands, and whatever its domain wrote before.
#[test]
fn a_front_half_begins_anew_after_its_own_lies() {
    for published in PUBLISHED {
        // The back half's device can be opened: otherwise it waits for one that was closed.
        let events = [&DEATHS[..], &TOOLS, &front_lies(), &[Event::Front(true)]].concat();
        let space = Space::of([World::new(published, true)], WORKING, &events);
        let both = |world: &World| world.nodes.front.is_some() && world.nodes.back.is_some();
        space.after_rest(both, &[Event::KillFront, Event::Online]).all_rest(World::are_connected);
    }
}

#[test]
fn lies_about_the_back_half_come_to_rest() {
    for published in PUBLISHED {
        let space = space(published, &back_lies());
        comes_to_rest(&space);
        can_begin_anew(&space);
    }
}

#[test]
fn lies_about_both_come_to_rest() {
    let space = space(State::Initialised, &[front_lies(), back_lies()].concat());
    comes_to_rest(&space);
    can_begin_anew(&space);
}
