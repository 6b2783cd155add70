//! `bench kernel tricks`: what each saving of the hypervisor's backend is worth.
//!
//! The kernel runs on Zendo once as it is and once with each word of `tricks=`, which turns one saving off.
//! A row shows by how much it rose, and in a second table what crossings it is made of; the words and what they turn off are in the header of
//! `pvkernel/xen/src/user/tricks.rs`.

use std::fmt::Write;

use system_tests::qemu::Hypervisor;
use system_tests::session::Images;

use super::events::{shown as hundredths, Events};
use super::rows::Figures;
use super::{follow_rows, run_rows, Place};
use crate::args::Args;
use crate::build::Programs;
use crate::paths::Paths;
use crate::{test, Result};

/// The words.
const WORDS: [&str; 6] =
    ["no-batch", "direct-writes", "eager-fpu", "early-pin", "no-recycle", "no-answers"];
/// Ways into the hypervisor that the kernel asks for.
const CALLS: [&str; 1] = ["hypercalls"];
/// And those it does not.
const FAULTS: [&str; 4] = ["page_faults", "protection_faults", "fpu_faults", "other_faults"];
/// The rows in which they show.
const ROWS: [&str; 8] = [
    "null_call",
    "context_switch",
    "page_fault",
    "cow_fault",
    "grow_1mib",
    "fork_exit",
    "fork_exit_1mib",
    "fork_exec_exit",
];

/// The verb.
pub fn run(args: &mut Args) -> Result<()> {
    let programs = Programs::take(args);
    args.finish()?;
    let paths = Paths::find()?;
    let images = test::prepare(&paths, &[Hypervisor::Zendo], programs)?;
    let plain = measure(&images, None)?;
    let without = WORDS.map(|word| measure(&images, Some(word)));
    let without: Vec<Figures> = without.into_iter().collect::<Result<_>>()?;
    println!("{}", table(&plain, &without));
    let words = std::iter::once(None).chain(WORDS.map(Some));
    let events: Vec<Events> =
        words.map(|word| follow(&paths, &images, word)).collect::<Result<_>>()?;
    println!("{}", crossings(&events));
    Ok(())
}

/// What stands before the program on the kernel's command line.
fn begin(word: Option<&str>) -> String {
    word.map(|word| format!("tricks={word} ")).unwrap_or_default()
}

fn follow(paths: &Paths, images: &Images, word: Option<&str>) -> Result<Events> {
    let mut events = Events::default();
    let words = format!("{}-- bench trace {}", begin(word), ROWS.join(" "));
    follow_rows(paths, images, Place::Zendo, &words, &mut events)
        .map_err(|text| format!("{}: {text}", word.unwrap_or("as it is")))?;
    Ok(events)
}

/// Hypercalls and faults of an operation, as it is and with each word.
fn crossings(events: &[Events]) -> String {
    let mut text = format!("{:<16} {:>12}", "hcalls + faults", "as it is");
    WORDS.iter().for_each(|word| {
        let _ = write!(text, " {word:>15}");
    });
    text.push('\n');
    for row in ROWS {
        let _ = write!(text, "{row:<16}");
        for (at, events) in events.iter().enumerate() {
            let cell = events.get(row, Place::Zendo).map_or("-".to_string(), |tally| {
                format!("{} + {}", hundredths(tally.sum(&CALLS)), hundredths(tally.sum(&FAULTS)))
            });
            let width = if at == 0 { 12 } else { 15 };
            let _ = write!(text, " {cell:>width$}");
        }
        text.push('\n');
    }
    text
}

fn measure(images: &Images, word: Option<&str>) -> Result<Figures> {
    let mut figures = Figures::default();
    run_rows(
        images,
        Place::Zendo,
        &format!("{}-- bench {}", begin(word), ROWS.join(" ")),
        &mut figures,
    )
    .map_err(|failure| format!("{}: {failure}", word.unwrap_or("as it is")))?;
    Ok(figures)
}

fn table(plain: &Figures, without: &[Figures]) -> String {
    let mut text = format!("{:<16} {:>12}", "instructions", "as it is");
    WORDS.iter().for_each(|word| {
        let _ = write!(text, " {word:>15}");
    });
    text.push('\n');
    for row in ROWS {
        let base = plain.get(row, Place::Zendo);
        let _ = write!(text, "{row:<16} {:>12}", shown(base));
        for figures in without {
            let value = figures.get(row, Place::Zendo);
            let change = match (value, base) {
                (Some(value), Some(base)) if base > 0 => {
                    format!("{value} {:+.0}%", 100.0 * (value as f64 / base as f64 - 1.0))
                }
                _ => "-".to_string(),
            };
            let _ = write!(text, " {change:>15}");
        }
        text.push('\n');
    }
    text
}

fn shown(value: Option<u64>) -> String {
    value.map_or("-".to_string(), |value| value.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::log::Cause;

    #[test]
    fn a_row_shows_what_each_saving_is_worth() {
        let figures = |value: u64| {
            let mut figures = Figures::default();
            figures.read(Place::Zendo, &format!("bench null_call {value}")).expect("a row");
            figures
        };
        let without: Vec<Figures> = WORDS.iter().map(|_| figures(450)).collect();
        let table = table(&figures(300), &without);
        assert!(table.contains("450 +50%"), "{table}");
        assert_eq!(table.lines().count(), 1 + ROWS.len());
    }

    #[test]
    fn crossings_are_hypercalls_and_faults() {
        let events = super::super::events::tests::events(13, Cause::Exception);
        let table = crossings(&[events, Events::default()]);
        let line = table.lines().nth(1).unwrap_or_default();
        assert!(line.starts_with("null_call ") && line.contains(" 1 + 1 "), "{table}");
        assert!(line.ends_with(" -"), "not followed: {table}");
        assert_eq!(table.lines().count(), 1 + ROWS.len());
    }

    #[test]
    fn every_kind_of_fault_is_one_of_the_kinds() {
        let is_kind =
            |column: &&str| super::super::events::KINDS.iter().any(|(name, _)| name == column);
        assert!(CALLS.iter().chain(&FAULTS).all(is_kind));
    }

    /// The list is that of the kernel.
    #[test]
    fn the_words_are_those_of_the_kernel() {
        let source = include_str!("../../../pvkernel/xen/src/user/tricks.rs");
        for word in WORDS {
            assert!(source.contains(&format!("(\"{word}\", Trick::")), "{word}");
        }
        assert_eq!(source.matches("\", Trick::").count(), WORDS.len());
    }
}
