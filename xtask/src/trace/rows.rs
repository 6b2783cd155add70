//! Which sample belongs to which row, and what a row costs by its samples.
//!
//! The guest prints `trace SAMPLES NAME:UNITS...` before the marks of these rows, and then makes
//! SAMPLES times one pair of marks for each name. A single name is a loop of one whole period
//! between its marks, done twice; several names are the parts of one operation, and the samples are
//! two periods of it.

use super::events::Counts;
use super::log::{Code, Item};
use crate::Result;

/// How often each operation was traced.
const ROUNDS: usize = 2;

/// One row as it was traced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Traced {
    /// The row.
    pub name: String,
    /// Operations in the samples together.
    pub units: u64,
    /// For each operation of a period the shortest of its samples: the one that no timer struck.
    pub samples: Vec<Vec<Item>>,
}

impl Traced {
    /// What all samples cost together; divide by [`Traced::units`].
    pub fn counts(&self, code: &Code) -> Counts {
        let each = self.samples.iter().map(|items| Counts::of(items, code));
        each.fold(Counts::default(), |sum, counts| sum.plus(&counts))
    }
}

/// Puts samples and printed lines together.
pub fn assign(printed: &str, samples: Vec<Vec<Item>>) -> Result<Vec<Traced>> {
    let mut rows = Vec::new();
    let mut left = samples.into_iter();
    for line in printed.lines().filter_map(|line| line.trim().strip_prefix("trace ")) {
        let Some((count, names)) = plan(line)? else { continue };
        let taken: Vec<Vec<Item>> = left.by_ref().take(count * names.len()).collect();
        if taken.len() < count * names.len() {
            return Err(format!("the log ends within the samples of {}", names[0].0));
        }
        for (index, (name, units)) in names.iter().enumerate() {
            let own = taken.iter().skip(index).step_by(names.len());
            let samples = shortest(&own.collect::<Vec<_>>());
            let units = units * samples.len() as u64;
            rows.push(Traced { name: name.clone(), units, samples });
        }
    }
    match left.count() {
        0 => Ok(rows),
        more => Err(format!("{more} samples in the log belong to no row the guest announced")),
    }
}

/// How many samples, and the names and units of what is sampled in turn.
type Plan = (usize, Vec<(String, u64)>);

/// `SAMPLES NAME:UNITS...`, or nothing if the line is another.
fn plan(line: &str) -> Result<Option<Plan>> {
    let mut words = line.split_whitespace();
    let Some(Ok(count)) = words.next().map(str::parse) else { return Ok(None) };
    let name = |word: &str| {
        let (name, units) = word.split_once(':')?;
        Some((name.to_string(), units.parse().ok()?))
    };
    let names: Option<Vec<_>> = words.map(name).collect();
    match names {
        Some(names) if !names.is_empty() => Ok(Some((count, names))),
        _ => Err(format!("the guest printed 'trace {line}'")),
    }
}

/// The shorter one of those samples that are of the same operation.
fn shortest(samples: &[&Vec<Item>]) -> Vec<Vec<Item>> {
    let period = (samples.len() / ROUNDS).max(1);
    let best = |first: usize| {
        let same = samples.iter().skip(first).step_by(period);
        same.min_by_key(|items| items.len()).map(|items| items.to_vec())
    };
    (0..period).filter_map(best).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(length: u64) -> Vec<Item> {
        (0..length).map(Item::Step).collect()
    }

    fn lengths(row: &Traced) -> Vec<usize> {
        row.samples.iter().map(Vec::len).collect()
    }

    #[test]
    fn a_loop_is_the_shorter_of_its_two_samples() {
        let printed = "trace ready\r\ntrace 2 hc_xen_version:2\r\nZENDO-TEST bench SUCCESS\r\n";
        let rows = assign(printed, vec![sample(30), sample(20)]).expect("both samples");
        assert_eq!((rows[0].name.as_str(), rows[0].units), ("hc_xen_version", 2));
        assert_eq!(lengths(&rows[0]), [20]);
    }

    #[test]
    fn parts_take_turns_and_each_direction_counts() {
        let samples = [10, 1, 12, 2, 9, 3, 13, 1].map(sample).to_vec();
        let rows = assign("trace 4 gnt_map_1:1 gnt_unmap_1:1\n", samples).expect("eight samples");
        assert_eq!((lengths(&rows[0]), rows[0].units), (vec![9, 12], 2));
        assert_eq!((lengths(&rows[1]), rows[1].units), (vec![1, 1], 2));
    }

    #[test]
    fn samples_and_lines_that_do_not_fit_are_errors() {
        let error = assign("trace 2 a:1\n", vec![sample(1)]).expect_err("one is missing");
        assert!(error.contains("samples of a"), "{error}");
        let error = assign("trace 2 a:1\n", vec![sample(1); 3]).expect_err("one too many");
        assert!(error.starts_with("1 samples"), "{error}");
        assert!(assign("trace 2 a\n", vec![sample(1); 2]).is_err());
    }
}
