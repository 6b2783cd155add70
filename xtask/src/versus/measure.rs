//! The numbers behind the page: two counted runs and one trace on each hypervisor.
//!
//! A counted run gives instructions; that it gives the same again is checked here, not promised. The
//! machine's clock follows the virtual time in it: Xen waits for the clock's next second at boot, and
//! its own timers would otherwise strike at other places each time. A trace gives events.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use system_tests::machine::Failure;
use system_tests::qemu::Hypervisor;
use system_tests::session::{Images, Session};

use crate::paths::Paths;
use crate::trace::events::{Counts, Event, KINDS};
use crate::{sh, trace, xen_package, Result};

/// The rows of the guest's topic.
const ROWS: &str = "versus_*";
/// The time of day at power-on.
const CLOCK: &str = "base=2024-01-01T00:00:00,clock=vm";
/// Instructions of a measuring loop and of the marks around a traced operation, at most.
const LOOP: f64 = 12.0;
const WITHIN: Duration = Duration::from_secs(200);

/// The columns: ours first.
pub const PARTIES: [Hypervisor; 2] = [Hypervisor::Zendo, Hypervisor::Xen];
/// Their names.
pub const NAMES: [&str; 2] = ["Zendo", "Xen 4.17"];

/// What one row costs on one hypervisor.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Cost {
    /// Wishes in one repetition.
    pub units: u64,
    /// Instructions of the cheapest repetition.
    pub ticks: u64,
    /// Wishes in the trace.
    pub traced: u64,
    /// What the trace counted for them.
    pub counts: Counts,
}

impl Cost {
    /// Instructions for one wish.
    pub fn instructions(&self) -> f64 {
        self.ticks as f64 / self.units.max(1) as f64
    }

    /// How often something happens for one wish.
    pub fn event(&self, event: Event) -> f64 {
        let kinds = self.counts.events.iter().zip(&KINDS);
        let count = kinds.filter(|(_, kind)| kind.event == event).map(|(count, _)| count);
        count.sum::<u64>() as f64 / self.traced.max(1) as f64
    }

    /// Whether the trace went another way than the cheapest repetition, as when a timer struck it.
    fn is_odd(&self) -> bool {
        let traced = self.counts.instructions as f64 / self.traced.max(1) as f64;
        (traced - self.instructions()).abs() > LOOP + self.instructions() * 0.03
    }

    /// Cycles for one wish: its instructions, and the weights of its events.
    pub fn cycles(&self) -> f64 {
        let weights = self.counts.cycles() - self.counts.instructions;
        self.instructions() + weights as f64 / self.traced.max(1) as f64
    }
}

/// Rows of one run: name, units, ticks.
type Counted = Vec<(String, u64, u64)>;

/// Everything the page shows.
pub struct Measured {
    /// Costs by name of the row; nothing where there is no Xen.
    pub rows: BTreeMap<String, [Option<Cost>; 2]>,
    /// What was measured with what.
    pub provenance: Vec<(&'static str, String)>,
}

impl Measured {
    /// The cost of a row on one hypervisor.
    pub fn cost(&self, row: &str, party: usize) -> Option<Cost> {
        self.rows.get(&format!("versus_{row}"))?.get(party).copied().flatten()
    }
}

/// Measures everything.
pub fn measure(images: &Images, paths: &Paths) -> Result<Measured> {
    let mut rows: BTreeMap<String, [Option<Cost>; 2]> = BTreeMap::new();
    for (party, which) in PARTIES.into_iter().enumerate() {
        if which == Hypervisor::Xen && images.xen.is_none() {
            continue;
        }
        for (name, cost) in costs(images, which)? {
            rows.entry(name).or_default()[party] = Some(cost);
        }
    }
    let mut provenance = provenance(images, paths)?;
    let odd = odd(&rows);
    if !odd.is_empty() {
        provenance.push(("traced otherwise", odd.join(", ")));
    }
    Ok(Measured { rows, provenance })
}

/// Rows whose events are not those of the repetition that was counted.
fn odd(rows: &BTreeMap<String, [Option<Cost>; 2]>) -> Vec<String> {
    let one = |(name, costs): (&String, &[Option<Cost>; 2])| {
        let named = costs.iter().zip(NAMES);
        let odd = named.filter(|(cost, _)| cost.is_some_and(|cost| cost.is_odd()));
        odd.map(|(_, party)| format!("{name} on {party}")).collect::<Vec<_>>()
    };
    rows.iter().flat_map(one).collect()
}

/// The rows on one hypervisor; fails if a second run counts otherwise.
fn costs(images: &Images, which: Hypervisor) -> Result<Vec<(String, Cost)>> {
    let first = counted(images, which)?;
    let second = counted(images, which)?;
    let differences = differences(&first, &second);
    if !differences.is_empty() {
        let list = differences.join("; ");
        return Err(format!("two runs on {} differ: {list}", which.name()));
    }
    println!("versus: {} rows on {}, the same in two runs", first.len(), which.name());
    let trace = trace::trace(images, which, ROWS)?;
    let traced =
        trace.rows.iter().map(|row| (row.name.as_str(), (row.units, row.counts(&trace.code))));
    let traced: BTreeMap<&str, (u64, Counts)> = traced.collect();
    let joined = first.into_iter().map(|(name, units, ticks)| {
        let (traced, counts) = *traced.get(name.as_str()).ok_or(format!("no trace of {name}"))?;
        Ok((name, Cost { units, ticks, traced, counts }))
    });
    joined.collect()
}

/// One run of all rows.
fn counted(images: &Images, which: Hypervisor) -> Result<Counted> {
    let run = || -> std::result::Result<String, Failure> {
        let label = format!("versus-{}", which.name());
        let session = Session::new(images, which, 1, &label);
        let mut boot = images.guest_boot(which, "bench", &format!("rows={ROWS}"))?;
        boot.icount = true;
        boot.extra.extend(["-rtc".to_string(), CLOCK.to_string()]);
        let mut watched = session.start(boot)?;
        let printed = watched.machine.expect("ZENDO-TEST bench ", WITHIN)?;
        let verdict = watched.expect("\n", 20)?;
        Ok(printed + &verdict)
    };
    rows_of(&run().map_err(|failure| failure.to_string())?)
}

/// The rows in what the guest printed; a row whose proof failed is an error.
fn rows_of(printed: &str) -> Result<Counted> {
    let mut rows = Vec::new();
    for line in printed.lines().filter_map(|line| line.trim().strip_prefix("row ")) {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [name, _, units, ticks, proof] = words[..] else {
            return Err(format!("the guest printed 'row {line}'"));
        };
        match (units.parse(), ticks.parse(), proof) {
            (Ok(units), Ok(ticks), "ok") => rows.push((name.to_string(), units, ticks)),
            (_, _, "BAD") => return Err(format!("{name}: the guest's proof failed")),
            _ => return Err(format!("the guest printed 'row {line}'")),
        }
    }
    match rows.is_empty() {
        true => Err("the guest printed no rows".to_string()),
        false => Ok(rows),
    }
}

/// What is not the same in two runs.
fn differences(one: &Counted, other: &Counted) -> Vec<String> {
    if one.len() != other.len() {
        return vec![format!("{} rows and {} rows", one.len(), other.len())];
    }
    let pairs = one.iter().zip(other).filter(|(one, other)| one != other);
    pairs.map(|(one, other)| format!("{} {} and {} {}", one.0, one.2, other.0, other.2)).collect()
}

fn provenance(images: &Images, paths: &Paths) -> Result<Vec<(&'static str, String)>> {
    let hash = |path: &Path| {
        let text = sh::capture_text(Command::new("sha256sum").arg(path))?;
        Ok::<String, String>(text.split_whitespace().next().unwrap_or_default().to_string())
    };
    let qemu = sh::capture_text(Command::new(system_tests::qemu::QEMU).arg("--version"))?;
    let qemu = qemu.lines().next().unwrap_or_default().to_string();
    let xen = match images.xen {
        Some(_) => {
            let version = xen_package::version(paths).unwrap_or("4.17".to_string());
            format!("Debian's package xen-hypervisor-4.17-amd64, {version}")
        }
        None => "not to be had here".to_string(),
    };
    Ok(vec![
        ("guest on both", format!("bench, sha256 {}", hash(&images.guests.join("bench"))?)),
        ("Zendo", format!("sha256 {}", hash(&images.zendo)?)),
        ("Xen", xen),
        ("machine", format!("{qemu}, -accel tcg -cpu max -icount shift=0,sleep=off -rtc {CLOCK}")),
        ("command", "cargo xtask report versus".to_string()),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    const PRINTED: &str = "calibration 1000000 1000006\r\nclock 4294967295 1\r\n...\r\n\
        row versus_pte_trap entry 1000 1822024 ok\r\nrow versus_ts_multicall_128 pair 512 148968 ok\r\n";

    #[test]
    fn rows_are_read_between_what_else_is_printed() {
        let rows = rows_of(PRINTED).expect("two rows");
        assert_eq!(rows[0], ("versus_pte_trap".to_string(), 1000, 1_822_024));
        assert_eq!(rows.len(), 2);
    }

    #[test]
    fn a_failed_proof_and_a_strange_line_are_errors() {
        let error = rows_of("row a_b entry 1 2 BAD\n").expect_err("bad");
        assert!(error.contains("a_b") && error.contains("proof"), "{error}");
        assert!(rows_of("row a_b entry one 2 ok\n").is_err());
        assert!(rows_of("row a_b entry 1 2\n").is_err());
        assert!(rows_of("nothing\n").is_err());
    }

    #[test]
    fn two_runs_are_compared_to_the_instruction() {
        let one = rows_of(PRINTED).expect("two rows");
        assert!(differences(&one, &one).is_empty());
        let mut other = one.clone();
        other[1].2 += 1;
        assert_eq!(
            differences(&one, &other),
            ["versus_ts_multicall_128 148968 and versus_ts_multicall_128 148969"]
        );
        other.pop();
        assert_eq!(differences(&one, &other), ["2 rows and 1 rows"]);
    }

    #[test]
    fn a_trace_of_another_path_is_told() {
        let counts = |instructions| Counts { instructions, ..Default::default() };
        let cost =
            |instructions| Cost { units: 1, ticks: 1000, traced: 2, counts: counts(instructions) };
        let rows = [("versus_a".to_string(), [Some(cost(2080)), Some(cost(2090))])].into();
        assert_eq!(odd(&rows), ["versus_a on Xen 4.17"]);
    }

    #[test]
    fn cycles_are_instructions_and_weights_for_one_wish() {
        let mut counts = Counts { instructions: 20, ..Default::default() };
        let syscall = KINDS.iter().position(|kind| kind.event == Event::Syscall).expect("a kind");
        counts.events[syscall] = 4;
        let cost = Cost { units: 10, ticks: 1000, traced: 2, counts };
        assert_eq!(cost.instructions(), 100.0);
        assert_eq!(cost.event(Event::Syscall), 2.0);
        assert_eq!(cost.cycles(), 100.0 + 2.0 * KINDS[syscall].cycles as f64);
    }
}
