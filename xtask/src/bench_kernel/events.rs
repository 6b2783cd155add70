//! The events of `bench kernel`: what happens to the machine during one operation.
//!
//! The program `bench` runs each row between two marks, and QEMU's log says what was executed there
//! (`trace`). A `syscall` of a program is told from one of its kernel by where it is: the kernel's are
//! hypercalls. The row `no_row` has nothing between its marks, and must come to nothing.

use std::collections::BTreeMap;

use super::Place;
use crate::trace::events::{look, Event, Seen, HYPERVISOR};
use crate::trace::log::Cause;
use crate::trace::Trace;
use crate::Result;

/// The row with nothing in it.
const NO_ROW: &str = "no_row";
/// Addresses of programs are below it.
const PROGRAMS_END: u64 = 1 << 63;

/// The kinds that are told: the names of their columns, and what people read.
pub const KINDS: [(&str, &str); 14] = [
    ("calls", "call"),
    ("hypercalls", "hypercall"),
    ("page_faults", "page fault"),
    ("protection_faults", "protection fault"),
    ("fpu_faults", "FPU fault"),
    ("other_faults", "other fault"),
    ("interrupts", "interrupt"),
    ("sysrets", "sysret"),
    ("irets", "iret"),
    ("cr3_loads", "CR3 load"),
    ("cr_loads", "CR load"),
    ("invlpgs", "invlpg"),
    ("msrs", "MSR"),
    ("ports", "port"),
];

/// A kind's place among [`KINDS`].
fn kind(seen: Seen) -> Option<usize> {
    let name = match seen {
        Seen::Begun(_) => return None,
        Seen::Vector(_, Cause::Hardware) => "interrupts",
        Seen::Vector(14, Cause::Exception) => "page_faults",
        Seen::Vector(13, Cause::Exception) => "protection_faults",
        Seen::Vector(7, Cause::Exception) => "fpu_faults",
        Seen::Vector(..) => "other_faults",
        Seen::Done(event, at) => match event {
            Event::Syscall if at < PROGRAMS_END => "calls",
            Event::Syscall if !HYPERVISOR.contains(&at) => "hypercalls",
            Event::Sysret => "sysrets",
            Event::Iret => "irets",
            Event::Cr3Load => "cr3_loads",
            Event::CrLoad => "cr_loads",
            Event::Invlpg => "invlpgs",
            Event::Wrmsr | Event::Rdmsr => "msrs",
            Event::Port => "ports",
            _ => return None,
        },
    };
    KINDS.iter().position(|(known, _)| *known == name)
}

/// How often each kind happened in so many operations.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    counts: [u64; KINDS.len()],
    instructions: u64,
    units: u64,
}

impl Tally {
    /// In the order of [`KINDS`], for one operation, in hundredths.
    pub fn hundredths(&self) -> [u64; KINDS.len()] {
        let units = self.units.max(1);
        self.counts.map(|count| (100 * count + units / 2) / units)
    }

    /// One of them, by the name of its column.
    pub fn get(&self, column: &str) -> Option<u64> {
        let at = KINDS.iter().position(|(name, _)| *name == column)?;
        self.hundredths().get(at).copied()
    }

    /// Several of them together, in hundredths.
    pub fn sum(&self, columns: &[&str]) -> u64 {
        columns.iter().filter_map(|column| self.get(column)).sum()
    }

    /// Instructions of one operation, with its part of those around it.
    pub fn instructions(&self) -> u64 {
        self.instructions / self.units.max(1)
    }

    fn add(&mut self, seen: Seen) {
        self.instructions += u64::from(matches!(seen, Seen::Begun(_)));
        if let Some(count) = kind(seen).and_then(|at| self.counts.get_mut(at)) {
            *count += 1;
        }
    }
}

/// Hundredths as people write them.
pub fn shown(hundredths: u64) -> String {
    match (hundredths / 100, hundredths % 100) {
        (whole, 0) => format!("{whole}"),
        (whole, part) if part % 10 == 0 => format!("{whole}.{}", part / 10),
        (whole, part) => format!("{whole}.{part:02}"),
    }
}

/// The events of rows by place.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Events(BTreeMap<(String, Place), Tally>);

impl Events {
    /// Takes what was traced in one place.
    pub fn take(&mut self, place: Place, trace: &Trace) -> Result<()> {
        for row in &trace.rows {
            let mut tally = Tally { units: row.units, ..Tally::default() };
            for sample in &row.samples {
                look(sample, &trace.code, |seen| tally.add(seen));
            }
            self.0.insert((row.name.clone(), place), tally);
        }
        match self.0.remove(&(NO_ROW.to_string(), place)) {
            Some(empty) if empty.counts.iter().all(|count| *count == 0) => Ok(()),
            Some(empty) => Err(format!("between marks without a row was {:?}", empty.counts)),
            None => Err(format!("there was no row '{NO_ROW}'")),
        }
    }

    /// Adds those of another place.
    pub fn join(&mut self, others: Self) {
        self.0.extend(others.0);
    }

    /// Those of one row.
    pub fn get(&self, name: &str, place: Place) -> Option<&Tally> {
        self.0.get(&(name.to_string(), place))
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use crate::trace::log::{Code, Item};
    use crate::trace::rows::Traced;

    const PROGRAM: u64 = 0x40_1000;
    const KERNEL: u64 = 0xffff_ffff_8000_1000;
    const ZENDO: u64 = 0xffff_82d0_4000_1000;

    /// Twice: a call, a hypercall, and an interrupt or exception.
    fn trace(number: u8, cause: Cause) -> Trace {
        let code = [
            (PROGRAM, "syscall"),
            (KERNEL, "syscall"),
            (ZENDO, "movq %rax, %cr3"),
            (ZENDO + 1, "sysretq"),
        ];
        let code: Code = code.map(|(at, text)| (at, text.to_string())).into();
        let once = [
            Item::Step(PROGRAM),
            Item::Step(ZENDO),
            Item::Step(KERNEL),
            Item::Step(ZENDO + 1),
            Item::Step(ZENDO + 2),
            Item::Vector { number, cause },
        ];
        let row = |name: &str, units, samples| Traced { name: name.to_string(), units, samples };
        let rows = vec![
            row(NO_ROW, 1, vec![vec![]]),
            row("null_call", 2, vec![once.to_vec(), once.to_vec()]),
        ];
        Trace { rows, code }
    }

    /// As they are taken from it.
    pub fn events(number: u8, cause: Cause) -> Events {
        let mut events = Events::default();
        let taken = events.take(Place::Zendo, &trace(number, cause));
        taken.expect("marks with nothing between them, and a row");
        events
    }

    fn of(events: &Events, column: &str) -> Option<u64> {
        events.get("null_call", Place::Zendo)?.get(column)
    }

    #[test]
    fn a_call_of_a_program_is_no_hypercall() {
        let events = events(14, Cause::Exception);
        for column in ["calls", "hypercalls", "cr3_loads", "sysrets", "page_faults"] {
            assert_eq!(of(&events, column), Some(100), "{column}");
        }
        for column in ["interrupts", "protection_faults", "irets", "ports"] {
            assert_eq!(of(&events, column), Some(0), "{column}");
        }
        assert_eq!(of(&events, "no such kind"), None);
    }

    #[test]
    fn exceptions_are_told_apart_and_from_interrupts() {
        let kinds = [
            (13, Cause::Exception, "protection_faults"),
            (7, Cause::Exception, "fpu_faults"),
            (6, Cause::Exception, "other_faults"),
            (0x82, Cause::Software, "other_faults"),
            (14, Cause::Hardware, "interrupts"),
        ];
        for (number, cause, column) in kinds {
            assert_eq!(of(&events(number, cause), column), Some(100), "{column}");
            assert_eq!(of(&events(number, cause), "page_faults"), Some(0));
        }
    }

    #[test]
    fn something_between_empty_marks_is_an_error() {
        let mut trace = trace(14, Cause::Exception);
        trace.rows[0].samples = vec![vec![Item::Step(KERNEL)]];
        assert!(Events::default().take(Place::Xen, &trace).is_err());
        trace.rows.remove(0);
        assert!(Events::default().take(Place::Xen, &trace).is_err());
    }
}
