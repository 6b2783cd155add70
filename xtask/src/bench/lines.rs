//! What the guest called `bench` prints, as data. The lines are described where they are printed, in
//! `tests/guests/src/bench/meter.rs`.

use crate::Result;

/// One row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Its name.
    pub name: String,
    /// What one of its units is.
    pub unit: String,
    /// Units in a repetition.
    pub units: u64,
    /// Ticks of the counter in the cheapest repetition.
    pub ticks: u64,
    /// Whether the row's proof holds that its operations happened.
    pub good: bool,
}

impl Row {
    /// Ticks for one unit.
    pub fn ticks_each(&self) -> f64 {
        self.ticks as f64 / self.units as f64
    }
}

/// One run of the guest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// Instructions of a loop, and the ticks it took.
    pub calibration: (u64, u64),
    /// Multiplier and shift from ticks to nanoseconds.
    pub clock: (u64, i32),
    /// The rows in the order in which they were measured.
    pub rows: Vec<Row>,
    /// Rows that could not be measured, with the reason.
    pub absent: Vec<(String, String)>,
}

impl Run {
    /// Nanoseconds for one unit.
    pub fn nanoseconds_each(&self, row: &Row) -> f64 {
        let (multiplier, shift) = self.clock;
        let scaled = row.ticks as f64 * 2f64.powi(shift) * multiplier as f64 / 2f64.powi(32);
        scaled / row.units as f64
    }
}

/// Reads everything printed between the guest's first line and its last.
pub fn read(text: &str) -> Result<Run> {
    let mut run = Run { calibration: (0, 0), clock: (0, 0), rows: vec![], absent: vec![] };
    for line in text.lines().map(str::trim) {
        let words: Vec<&str> = line.split_whitespace().collect();
        let understood = match words[..] {
            ["calibration", instructions, ticks] => {
                pair(instructions, ticks).map(|pair| run.calibration = pair)
            }
            ["clock", multiplier, shift] => pair(multiplier, shift).map(|pair| run.clock = pair),
            ["row", name, unit, units, ticks, proof @ ("ok" | "BAD")] => {
                pair(units, ticks).filter(|(units, _)| *units > 0).map(|(units, ticks)| {
                    let (name, unit) = (name.to_string(), unit.to_string());
                    run.rows.push(Row { name, unit, units, ticks, good: proof == "ok" });
                })
            }
            ["absent", name, ..] => {
                let why = words.get(2..).unwrap_or_default().join(" ");
                run.absent.push((name.to_string(), why));
                Some(())
            }
            ["row" | "calibration" | "clock", ..] => None,
            _ => Some(()),
        };
        understood.ok_or_else(|| format!("the guest printed '{line}'"))?;
    }
    match run.calibration {
        (0, _) | (_, 0) => Err("the guest printed no calibration".to_string()),
        _ => Ok(run),
    }
}

fn pair<A: std::str::FromStr, B: std::str::FromStr>(a: &str, b: &str) -> Option<(A, B)> {
    Some((a.parse().ok()?, b.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PRINTED: &str = "calibration 1000000 1000006\r\nclock 2147483648 1\r\n\
        row hc_xen_version hypercall 1000 105004 ok\r\n\
        row pin_l1_full512 hypercall 20 2113691 BAD\r\n\
        absent gnt_map_1 needs a domain to grant to\r\nanything else\r\n";

    #[test]
    fn the_guests_lines_are_read() {
        let run = read(PRINTED).expect("a good run");
        assert_eq!(run.calibration, (1_000_000, 1_000_006));
        assert_eq!(run.rows[0].ticks_each(), 105.004);
        assert_eq!((run.rows[0].good, run.rows[1].good), (true, false));
        let absent = ("gnt_map_1".to_string(), "needs a domain to grant to".to_string());
        assert_eq!(run.absent, [absent]);
        // 2^31 / 2^32 * 2^1: one tick is one nanosecond.
        assert_eq!(run.nanoseconds_each(&run.rows[0]), 105.004);
    }

    #[test]
    fn a_line_cut_short_or_garbled_is_an_error_and_not_a_missing_row() {
        for bad in ["row hc_xen_version hypercall 1000", "row a b 0 5 ok", "row a b 1 5 maybe"] {
            let error = read(&format!("{PRINTED}{bad}\n")).expect_err(bad);
            assert!(error.contains(bad), "{error}");
        }
        assert!(read("row a b 1 5 ok\n").is_err(), "without calibration");
    }
}
