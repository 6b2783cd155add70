//! The transitions of the state word, over all small words.

use super::super::{PageError, PageType, State, Taken};

const TYPES: [PageType; 7] = [
    PageType::None,
    PageType::L1,
    PageType::L2,
    PageType::L3,
    PageType::L4,
    PageType::SegDesc,
    PageType::Writable,
];

const READY: Taken = Taken { flush: false, validate: false };

/// All words that can be reached from a fresh frame with at most three references of each kind.
fn reachable() -> Vec<State> {
    let mut found = vec![State::ALLOCATED];
    let mut next = 0;
    while let Some(state) = found.get(next).copied() {
        next += 1;
        let mut successors: Vec<State> =
            state.take_ref().map(|(taken, ())| taken).into_iter().collect();
        for want in &TYPES[1..] {
            successors.extend(state.take_typed(*want).map(|(taken, _)| taken));
        }
        if state.type_count() > 0 {
            successors.extend([state.validated().0, state.drop_typed().0]);
            successors.extend(state.pin().map(|(pinned, ())| pinned));
        }
        if state.ref_count() > state.type_count() {
            successors.push(state.drop_ref().0);
        }
        successors.extend(state.drop_allocation().map(|(dropped, _)| dropped));
        for successor in successors {
            let is_small = successor.ref_count() <= 3 && successor.type_count() <= 3;
            // Dropping the last type reference of a pinned frame is not a thing that happens.
            let is_sane = successor.type_count() > 0 || !successor.is_pinned();
            if is_small && is_sane && !found.contains(&successor) {
                found.push(successor);
            }
        }
    }
    found
}

#[test]
fn type_changes_only_at_count_zero() {
    for state in reachable() {
        for want in &TYPES[1..] {
            match state.take_typed(*want) {
                Ok((taken, _)) => {
                    assert_eq!(taken.page_type(), *want);
                    assert_eq!(taken.type_count(), state.type_count() + 1);
                    assert_eq!(taken.ref_count(), state.ref_count() + 1);
                    assert!(state.type_count() == 0 || state.page_type() == *want, "{state:?}");
                }
                Err(PageError::TypeConflict) => assert!(state.type_count() > 0, "{state:?}"),
                Err(PageError::NotOwned) => assert_eq!(state, State::DEAD),
                Err(other) => panic!("{other:?} of {state:?}"),
            }
        }
    }
}

#[test]
fn nothing_but_writable_is_ready_without_a_look_at_the_content() {
    for state in reachable() {
        for want in &TYPES[1..] {
            if let Ok((taken, how)) = state.take_typed(*want) {
                let was_checked = state.page_type() == *want && state.is_validated();
                let is_ready = !how.validate;
                assert!(!is_ready || was_checked || *want == PageType::Writable, "{state:?}");
                assert_eq!(how == READY, taken.is_validated(), "{state:?}");
            }
        }
    }
}

#[test]
fn former_use_of_another_kind_always_asks_for_a_flush() {
    for state in reachable() {
        for want in &TYPES[1..] {
            let is_other = state.page_type() != *want && state.page_type() != PageType::None;
            if let (true, Ok((_, how))) = (is_other, state.take_typed(*want)) {
                assert!(how.flush, "{state:?} to {want:?} gives {how:?}");
            }
        }
    }
}

#[test]
fn type_being_validated_is_nobody_elses() {
    let (state, how) = State::ALLOCATED.take_typed(PageType::L2).expect("free");
    assert_eq!(how, Taken { flush: false, validate: true });
    for want in &TYPES[1..] {
        assert_eq!(state.take_typed(*want), Err(PageError::TypeConflict));
    }
    assert!(state.take_ref().is_ok());
}

#[test]
fn quick_way_to_a_type_reference_agrees_with_the_general_one() {
    for state in reachable() {
        for want in &TYPES[1..] {
            if let Ok((quick, ())) = state.take_typed_fast(*want) {
                assert_eq!(state.take_typed(*want), Ok((quick, READY)));
            }
        }
    }
}

#[test]
fn quick_ways_to_drop_a_reference_agree_with_the_general_ones() {
    let mut seen = (0, 0);
    for state in reachable() {
        if let Ok((quick, ())) = state.drop_typed_fast() {
            assert_eq!(state.drop_typed(), (quick, false));
            assert!(quick.type_count() > 0, "the last one leaves a stamp: {state:?}");
            seen.0 += 1;
        }
        if let Ok((quick, ())) = state.drop_ref_fast() {
            // One that is held besides those of the type references.
            if state.ref_count() > state.type_count() {
                assert_eq!(state.drop_ref(), (quick, false));
                seen.1 += 1;
            }
        }
    }
    assert!(seen.0 > 0 && seen.1 > 0);
}

#[test]
fn no_type_survives_the_last_reference() {
    for state in reachable() {
        if let Ok((left, dropped)) = state.drop_allocation() {
            assert_eq!(dropped, state.ref_count() == 0);
            assert_eq!(dropped, left == State::DEAD);
        }
        if state.steal().is_ok() {
            assert_eq!((state.ref_count(), state.type_count()), (0, 0));
            assert!(state.drop_allocation().is_ok());
        }
    }
}

#[test]
fn last_use_of_a_table_is_left_to_the_walk() {
    let (state, _) = State::ALLOCATED.take_typed(PageType::L1).expect("free");
    let (table, ()) = state.validated();
    let (shared, _) = table.take_typed(PageType::L1).expect("validated");
    let (one_left, was_last) = shared.drop_table();
    assert_eq!((one_left, was_last), (table, false));
    let (apart, was_last) = one_left.drop_table();
    assert!(was_last);
    assert_eq!(apart.type_count(), 1);
    assert_eq!(apart.take_typed(PageType::Writable), Err(PageError::TypeConflict));
}

#[test]
fn counts_stop_at_their_limits() {
    let many_refs = State(State::ALLOCATED.0 | 1 << 29);
    assert_eq!(many_refs.take_ref(), Err(PageError::CountLimit));
    assert_eq!(many_refs.take_typed(PageType::Writable), Err(PageError::CountLimit));
    let (state, _) = State::ALLOCATED.take_typed(PageType::Writable).expect("free");
    let many_types = State(state.0 | 1 << 58);
    assert_eq!(many_types.take_typed(PageType::Writable), Err(PageError::CountLimit));
    assert!(many_types.take_typed_fast(PageType::Writable).is_err());
}

#[test]
fn special_frame_is_never_a_table_never_stolen_and_never_given_up() {
    for page_type in [PageType::Writable, PageType::Shared] {
        let state = State::special(page_type);
        for want in &TYPES[1..6] {
            assert_eq!(state.take_typed(*want), Err(PageError::TypeConflict));
        }
        assert_eq!(state.take_typed(PageType::Writable).is_ok(), page_type == PageType::Writable);
        assert!(state.take_ref().is_ok());
        assert!(state.steal().is_err());
        assert!(state.drop_allocation().is_err());
        let (left, dropped) = state.drop_special().expect("special");
        assert!(dropped);
        assert_eq!(left, State::DEAD);
    }
}
