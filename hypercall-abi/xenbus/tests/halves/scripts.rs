//! Exchanges of one half with another that need not be ours.

use pv_xenbus::device::{BackHalf, BackStep, BackView, FrontHalf, FrontStep};
use pv_xenbus::State;

/// Does what the front half wants and gives the steps.
fn front_steps(half: &mut FrontHalf, back: State) -> Vec<FrontStep> {
    let mut steps = Vec::new();
    while let Some(step) = half.next(true, Some(back)) {
        half.done(step, Some(back));
        steps.push(step);
        assert!(steps.len() < 10, "{steps:?}");
    }
    steps
}

fn back_steps(half: &mut BackHalf, front: State) -> Vec<BackStep> {
    let view = BackView { exists: true, online: true, front: Some(front) };
    let mut steps = Vec::new();
    while let Some(step) = half.next(view) {
        half.done(step, view.front);
        steps.push(step);
        assert!(steps.len() < 10, "{steps:?}");
    }
    steps
}

/// Back halves of others start over without a word.
#[test]
fn a_back_half_that_waits_again_gets_new_rings() {
    let mut half = FrontHalf::new(State::Initialising, State::Initialised);
    let publish = FrontStep::Publish(State::Initialised);
    assert_eq!(front_steps(&mut half, State::InitWait), [publish]);
    assert_eq!(front_steps(&mut half, State::Connected), [FrontStep::Connect]);
    let again = [
        FrontStep::Disconnect,
        FrontStep::Say(State::Closed),
        FrontStep::Say(State::Initialising),
        publish,
    ];
    assert_eq!(front_steps(&mut half, State::InitWait), again);
}

/// A front half that closes for good does not keep the disk open.
#[test]
fn a_back_half_stays_closed_until_the_front_half_begins_anew() {
    let mut half = BackHalf::new(State::Initialising);
    assert_eq!(back_steps(&mut half, State::Initialising), [BackStep::Init]);
    assert_eq!(back_steps(&mut half, State::Initialised), [BackStep::Connect]);
    assert_eq!(back_steps(&mut half, State::Connected), []);
    assert_eq!(back_steps(&mut half, State::Closing), [BackStep::Say(State::Closing)]);
    let closes = [BackStep::Disconnect, BackStep::Say(State::Closed)];
    assert_eq!(back_steps(&mut half, State::Closed), closes);
    assert_eq!(back_steps(&mut half, State::Closed), []);
    assert_eq!(back_steps(&mut half, State::Initialising), [BackStep::Init]);
}

/// Rings that cannot be mapped are not tried again and again.
#[test]
fn a_connection_that_failed_is_not_tried_by_itself() {
    let mut back = BackHalf::new(State::InitWait);
    back_steps(&mut back, State::Initialising);
    back.failed(BackStep::Connect);
    assert_eq!(back_steps(&mut back, State::Initialised), [BackStep::Say(State::Closing)]);
    assert_eq!(back_steps(&mut back, State::Closed), [BackStep::Say(State::Closed)]);
    let mut front = FrontHalf::new(State::Initialising, State::Initialised);
    front_steps(&mut front, State::InitWait);
    front.failed();
    assert_eq!(front_steps(&mut front, State::InitWait), [FrontStep::Say(State::Closed)]);
    assert_eq!(front_steps(&mut front, State::InitWait), []);
}

/// A device that cannot be opened (its image is missing) is not tried again and again, whatever a guest
/// makes of its own state; a front half that was closed may ask once more.
#[test]
fn opening_that_failed_is_tried_again_only_after_the_front_half_was_closed() {
    for front in [State::Unknown, State::Initialising, State::InitWait] {
        let view = BackView { exists: true, online: true, front: Some(front) };
        let mut back = BackHalf::new(State::Initialising);
        assert_eq!(back.next(view), Some(BackStep::Init));
        back.failed(BackStep::Init);
        back.look(view);
        assert_eq!(back_steps(&mut back, front), [BackStep::Say(State::Closed)], "{front:?}");
        let closed = BackView { front: Some(State::Closed), ..view };
        back.look(closed);
        assert_eq!(back.next(closed), None);
        back.look(view);
        assert_eq!(back.next(view), Some(BackStep::Init), "{front:?}");
    }
}
