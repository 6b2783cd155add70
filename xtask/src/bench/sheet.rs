//! All results of one call of `bench`: for each row what either hypervisor needs.

use system_tests::qemu::Hypervisor;

use super::lines::Run;
use crate::trace::events::{Counts, KINDS};
use crate::trace::Trace;

/// What one row costs on one hypervisor, for one unit.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Cell {
    /// Instructions.
    pub instructions: f64,
    /// Nanoseconds under plain TCG, if measured.
    pub nanoseconds: Option<f64>,
    /// Events and modelled cycles, if traced.
    pub events: Option<Events>,
}

/// What a trace shows, for one unit.
#[derive(Clone, Debug, PartialEq)]
pub struct Events {
    /// Instructions.
    pub instructions: f64,
    /// Those of them that are the guest's own.
    pub guest: f64,
    /// Modelled cycles.
    pub cycles: f64,
    /// Counts in the order of [`KINDS`].
    pub counts: [f64; KINDS.len()],
}

impl Events {
    fn of(counts: &Counts, units: u64) -> Events {
        let each = |number: u64| number as f64 / units as f64;
        Events {
            instructions: each(counts.instructions),
            guest: each(counts.guest),
            cycles: each(counts.cycles()),
            counts: counts.events.map(each),
        }
    }
}

/// One row on both.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Line {
    /// The row.
    pub name: String,
    /// What its unit is.
    pub unit: String,
    /// On Zendo.
    pub zendo: Option<Cell>,
    /// On Xen.
    pub xen: Option<Cell>,
}

impl Line {
    /// The place of one hypervisor's results.
    pub fn cell(&mut self, which: Hypervisor) -> &mut Option<Cell> {
        match which {
            Hypervisor::Zendo => &mut self.zendo,
            Hypervisor::Xen => &mut self.xen,
        }
    }

    /// Whether the row is a delay in nanoseconds, and its instructions are mostly those of waiting.
    pub fn is_delay(&self) -> bool {
        self.unit == "latency"
    }

    /// Zendo's instructions over Xen's.
    pub fn ratio(&self) -> Option<f64> {
        Some(self.zendo.as_ref()?.instructions / self.xen.as_ref()?.instructions)
    }

    /// Zendo's time over Xen's.
    pub fn time_ratio(&self) -> Option<f64> {
        Some(self.zendo.as_ref()?.nanoseconds? / self.xen.as_ref()?.nanoseconds?)
    }

    /// Zendo's modelled cycles over Xen's.
    pub fn cycle_ratio(&self) -> Option<f64> {
        let cycles = |cell: &Option<Cell>| Some(cell.as_ref()?.events.as_ref()?.cycles);
        Some(cycles(&self.zendo)? / cycles(&self.xen)?)
    }
}

/// All rows, and what is wrong with them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sheet {
    /// The rows in the order in which they were measured.
    pub lines: Vec<Line>,
    /// Rows that could not be measured: where, which, why.
    pub absent: Vec<(Hypervisor, String, String)>,
    /// Rows whose proof failed, and where.
    pub bad: Vec<(Hypervisor, String)>,
}

impl Sheet {
    /// Takes a run under `-icount`.
    pub fn take_instructions(&mut self, which: Hypervisor, run: &Run) {
        for row in &run.rows {
            let line = self.line(&row.name);
            line.unit.clone_from(&row.unit);
            line.cell(which).get_or_insert_default().instructions = row.ticks_each();
        }
        let absent = run.absent.iter().map(|(name, why)| (which, name.clone(), why.clone()));
        self.absent.extend(absent);
        self.take_proofs(which, run);
    }

    /// Takes a run under plain TCG; of several the fastest counts, row by row.
    pub fn take_time(&mut self, which: Hypervisor, run: &Run) {
        for row in &run.rows {
            let Some(cell) = self.line(&row.name).cell(which) else { continue };
            let time = run.nanoseconds_each(row);
            cell.nanoseconds = Some(cell.nanoseconds.map_or(time, |best| best.min(time)));
        }
        self.take_proofs(which, run);
    }

    /// Takes a trace.
    pub fn take_trace(&mut self, which: Hypervisor, trace: &Trace) {
        for row in &trace.rows {
            let events = Events::of(&row.counts(&trace.code), row.units);
            if let Some(cell) = self.line(&row.name).cell(which) {
                cell.events = Some(events);
            }
        }
    }

    fn take_proofs(&mut self, which: Hypervisor, run: &Run) {
        for row in run.rows.iter().filter(|row| !row.good) {
            let bad = (which, row.name.clone());
            if !self.bad.contains(&bad) {
                self.bad.push(bad);
            }
        }
    }

    fn line(&mut self, name: &str) -> &mut Line {
        let at = self.lines.iter().position(|line| line.name == name).unwrap_or_else(|| {
            self.lines.push(Line { name: name.to_string(), ..Line::default() });
            self.lines.len() - 1
        });
        &mut self.lines[at]
    }

    /// The instructions of one row.
    pub fn instructions(&self, which: Hypervisor, name: &str) -> Option<f64> {
        let line = self.lines.iter().find(|line| line.name == name)?;
        let cell = match which {
            Hypervisor::Zendo => &line.zendo,
            Hypervisor::Xen => &line.xen,
        };
        cell.as_ref().map(|cell| cell.instructions)
    }

    /// The rows by which the hypervisors are compared. Delays are not among them, nor the rows of
    /// the page on traps and hypercalls, which are other ways to do the same once more.
    pub fn compared(&self) -> impl Iterator<Item = &Line> {
        let other = |line: &&Line| line.is_delay() || line.name.starts_with("versus_");
        self.lines.iter().filter(move |line| !other(line))
    }

    /// The geometric mean of what `ratio` gives for each row that is compared, and of how many.
    pub fn mean(&self, ratio: impl Fn(&Line) -> Option<f64>) -> Option<(f64, usize)> {
        let ratios = self.compared().filter_map(ratio).filter(|ratio| *ratio > 0.0);
        let ratios: Vec<f64> = ratios.collect();
        let logarithms: f64 = ratios.iter().map(|ratio| ratio.ln()).sum();
        (!ratios.is_empty()).then(|| ((logarithms / ratios.len() as f64).exp(), ratios.len()))
    }
}

#[cfg(test)]
pub mod tests {
    use super::super::lines;
    use super::*;

    /// Two rows on both hypervisors, one on Zendo only.
    pub fn sample() -> Sheet {
        let zendo = "calibration 10 10\nclock 2147483648 1\nrow hc_a hypercall 10 1000 ok\n\
            row hc_b hypercall 10 4000 ok\nrow gnt_c pair 1 900 BAD\n";
        let xen = "calibration 10 10\nclock 2147483648 1\nrow hc_a hypercall 10 2000 ok\n\
            row hc_b hypercall 10 2000 ok\nabsent gnt_c no frame\n";
        let mut sheet = Sheet::default();
        for (which, text) in [(Hypervisor::Zendo, zendo), (Hypervisor::Xen, xen)] {
            let run = lines::read(text).expect("good lines");
            sheet.take_instructions(which, &run);
            sheet.take_time(which, &run);
        }
        sheet
    }

    #[test]
    fn rows_of_both_come_together_and_the_mean_is_geometric() {
        let sheet = sample();
        assert_eq!(sheet.lines.len(), 3);
        assert_eq!(sheet.instructions(Hypervisor::Zendo, "hc_a"), Some(100.0));
        assert_eq!(sheet.lines[0].ratio(), Some(0.5));
        let (mean, rows) = sheet.mean(Line::ratio).expect("two rows");
        assert!((mean - 1.0).abs() < 1e-9 && rows == 2, "{mean} of {rows}");
        assert_eq!(sheet.bad, [(Hypervisor::Zendo, "gnt_c".to_string())]);
        assert_eq!(sheet.absent[0].1, "gnt_c");
    }

    #[test]
    fn delays_and_other_ways_are_no_part_of_the_mean() {
        let mut delay = sample();
        delay.lines[1].unit = "latency".to_string();
        let mut other = sample();
        other.lines[1].name = "versus_pte_trap".to_string();
        for sheet in [delay, other] {
            let (mean, rows) = sheet.mean(Line::ratio).expect("a row");
            assert!((mean - 0.5).abs() < 1e-9 && rows == 1, "{mean} of {rows}");
        }
    }

    #[test]
    fn the_fastest_of_several_boots_counts() {
        let mut sheet = sample();
        let text = "calibration 10 10\nclock 2147483648 1\nrow hc_a hypercall 10 500 ok\n";
        sheet.take_time(Hypervisor::Xen, &lines::read(text).expect("good"));
        assert_eq!(sheet.lines[0].xen.as_ref().and_then(|cell| cell.nanoseconds), Some(50.0));
    }
}
