//! The transitions of the state word, over all small words.

use super::super::{PageType, RefError, State, TableDrop, Taken};

const TYPES: [PageType; 7] = [
    PageType::None,
    PageType::L1,
    PageType::L2,
    PageType::L3,
    PageType::L4,
    PageType::SegDesc,
    PageType::Writable,
];

/// All words that can be reached from a fresh frame with at most three references of each kind.
fn reachable() -> Vec<State> {
    let mut found = vec![State::ALLOCATED];
    let mut next = 0;
    while let Some(state) = found.get(next).copied() {
        next += 1;
        let mut successors: Vec<State> = state.take_ref().into_iter().collect();
        for want in &TYPES[1..] {
            successors.extend(state.take_typed(*want).map(|(taken, _)| taken));
        }
        if state.type_count() > 0 {
            successors.extend([state.validated(), state.drop_typed().0]);
            successors.extend(state.pinned());
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
                Err(RefError::Conflict) => assert!(state.type_count() > 0, "{state:?}"),
                Err(RefError::Dead) => assert_eq!(state, State::DEAD),
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
                let is_ready = matches!(how, Taken::Ready | Taken::FlushThenReady);
                assert!(!is_ready || was_checked || *want == PageType::Writable, "{state:?}");
                assert!(matches!(how, Taken::Ready) == taken.is_validated(), "{state:?}");
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
                assert!(
                    matches!(how, Taken::FlushThenReady | Taken::Validate { flush: true }),
                    "{state:?} to {want:?} gives {how:?}"
                );
            }
        }
    }
}

#[test]
fn type_being_validated_is_nobody_elses() {
    let (state, how) = State::ALLOCATED.take_typed(PageType::L2).expect("free");
    assert_eq!(how, Taken::Validate { flush: false });
    for want in &TYPES[1..] {
        assert_eq!(state.take_typed(*want), Err(RefError::Conflict));
    }
    assert!(state.take_ref().is_ok());
}

#[test]
fn quick_way_to_a_writable_reference_agrees_with_the_general_one() {
    for state in reachable() {
        if let Some(quick) = state.take_writable_fast() {
            assert_eq!(state.take_typed(PageType::Writable), Ok((quick, Taken::Ready)));
        }
    }
}

#[test]
fn no_type_survives_the_last_reference() {
    for state in reachable() {
        if let Ok((left, dropped)) = state.drop_allocation() {
            assert_eq!(dropped.released, state.ref_count() == 0);
            assert_eq!(dropped.released, left == State::DEAD);
        }
        if state.stolen().is_ok() {
            assert_eq!((state.ref_count(), state.type_count()), (0, 0));
            assert!(state.is_allocated());
        }
    }
}

#[test]
fn last_use_of_a_table_is_left_to_the_walk() {
    let (state, _) = State::ALLOCATED.take_typed(PageType::L1).expect("free");
    let table = state.validated();
    let (shared, _) = table.take_typed(PageType::L1).expect("validated");
    let (one_left, drop) = shared.drop_table();
    assert_eq!((one_left, drop), (table, TableDrop::StillUsed));
    let (apart, drop) = one_left.drop_table();
    assert_eq!(drop, TableDrop::TakeApart);
    assert_eq!(apart.type_count(), 1);
    assert_eq!(apart.take_typed(PageType::Writable), Err(RefError::Conflict));
}

#[test]
fn counts_stop_at_their_limits() {
    let many_refs = State::from_raw(State::ALLOCATED.raw() | 1 << 29);
    assert_eq!(many_refs.take_ref(), Err(RefError::Limit));
    assert_eq!(many_refs.take_typed(PageType::Writable), Err(RefError::Limit));
    let (state, _) = State::ALLOCATED.take_typed(PageType::Writable).expect("free");
    let many_types = State::from_raw(state.raw() | 1 << 58);
    assert_eq!(many_types.take_typed(PageType::Writable), Err(RefError::Limit));
    assert_eq!(many_types.take_writable_fast(), None);
}

#[test]
fn special_frame_is_never_a_table_never_stolen_and_never_given_up() {
    for page_type in [PageType::Writable, PageType::Shared] {
        let state = State::special(page_type);
        for want in &TYPES[1..6] {
            assert_eq!(state.take_typed(*want), Err(RefError::Conflict));
        }
        assert_eq!(state.take_typed(PageType::Writable).is_ok(), page_type == PageType::Writable);
        assert!(state.take_ref().is_ok());
        assert!(state.stolen().is_err());
        assert!(state.drop_allocation().is_err());
        let (left, dropped) = state.drop_special().expect("special");
        assert!(dropped.released);
        assert_eq!(left, State::DEAD);
    }
}
