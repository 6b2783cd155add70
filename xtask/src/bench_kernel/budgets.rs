//! What the events of `bench kernel` must be: the budgets, and that they are of what was counted.

use super::events::{shown, Events};
use super::rows::{Figures, START};
use super::Place;

/// What one operation on Zendo comes to, exactly.
const EXACT: &[(&str, &[(&str, u64)])] = &[
    ("null_call", &[("calls", 1), ("hypercalls", 1), ("page_faults", 0), ("cr3_loads", 2)]),
    ("context_switch", &[("calls", 1), ("hypercalls", 2), ("fpu_faults", 0), ("cr3_loads", 3)]),
    ("page_fault", &[("calls", 0), ("hypercalls", 2), ("page_faults", 1), ("cr3_loads", 2)]),
];
/// The most that it may come to there.
const MOST: &[(&str, &[(&str, u64)])] = &[
    ("fork_exit_1mib", &[("hypercalls", 17), ("page_faults", 4), ("cr3_loads", 16)]),
    ("fork_exec_exit", &[("hypercalls", 39), ("page_faults", 11), ("cr3_loads", 37)]),
];
/// What there is none of in any row on Zendo: all of it would be emulated.
const NEVER: [&str; 3] = ["protection_faults", "other_faults", "ports"];

/// One line for each requirement that does not hold, where the events of these places were counted.
pub fn missed(figures: &Figures, events: &Events, places: &[Place]) -> Vec<String> {
    let mut missed = Vec::new();
    for name in figures.names().filter(|name| *name != START) {
        for place in places {
            missed.extend(strange(name, *place, figures, events));
        }
        let never = NEVER.map(|column| (column, 0));
        missed.extend(other(name, &never, events, |count, wanted| count == wanted));
    }
    for (name, wanted) in EXACT {
        missed.extend(other(name, wanted, events, |count, wanted| count == wanted));
    }
    for (name, most) in MOST {
        missed.extend(other(name, most, events, |count, most| count <= most));
    }
    missed
}

/// What was followed is not what was counted: the loop around is a few instructions, and what the kernel keeps
/// may be in another order.
fn strange(name: &str, place: Place, figures: &Figures, events: &Events) -> Option<String> {
    let counted = figures.get(name, place)?;
    let Some(tally) = events.get(name, place) else {
        return Some(format!("{name}: {}: its events were not counted", place.name()));
    };
    let followed = tally.instructions();
    let is_same = followed.abs_diff(counted) <= 10 + counted / 20;
    let text =
        || format!("{name}: {}: {followed} instructions followed, {counted} counted", place.name());
    (!is_same).then(text)
}

/// Counts on Zendo that are not as they should be.
fn other(
    name: &str,
    wanted: &[(&str, u64)],
    events: &Events,
    is_right: fn(u64, u64) -> bool,
) -> Vec<String> {
    let Some(tally) = events.get(name, Place::Zendo) else {
        return vec![format!("{name}: its events were not counted")];
    };
    let wrong = wanted.iter().filter_map(|(column, wanted)| {
        let count = tally.get(column)?;
        let text = || format!("{name}: {} {column} on Zendo, {wanted} expected", shown(count));
        (!is_right(count, 100 * wanted)).then(text)
    });
    wrong.collect()
}

#[cfg(test)]
mod tests {
    use super::super::events::tests::events;
    use super::super::events::KINDS;
    use super::*;
    use crate::trace::log::Cause;

    #[test]
    fn a_count_that_is_not_as_expected_is_missed() {
        let mut figures = Figures::default();
        figures.read(Place::Zendo, "bench null_call 5").expect("a row");
        let missed = missed(&figures, &events(13, Cause::Exception), &Place::ALL);
        let is_told = |text: &str| missed.iter().any(|line| line.contains(text));
        assert!(is_told("null_call: 1 cr3_loads on Zendo, 2 expected"), "{missed:?}");
        assert!(is_told("null_call: 1 protection_faults on Zendo, 0 expected"), "{missed:?}");
        assert!(is_told("context_switch: its events were not counted"), "{missed:?}");
        assert!(!is_told("instructions followed"), "{missed:?}");
    }

    #[test]
    fn another_number_of_instructions_than_counted_is_missed() {
        let mut figures = Figures::default();
        figures.read(Place::Zendo, "bench null_call 400").expect("a row");
        let events = events(14, Cause::Exception);
        let text = strange("null_call", Place::Zendo, &figures, &events);
        assert_eq!(text.as_deref(), Some("null_call: Zendo: 5 instructions followed, 400 counted"));
    }

    #[test]
    fn every_column_that_is_judged_exists() {
        let judged = EXACT
            .iter()
            .chain(MOST)
            .flat_map(|(_, columns)| columns.iter().map(|(column, _)| *column));
        for column in judged.chain(NEVER) {
            assert!(KINDS.iter().any(|(known, _)| *known == column), "{column}");
        }
    }
}
