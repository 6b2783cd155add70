//! What `bench` prints: rows, budgets, means, and what is wrong.

use system_tests::qemu::Hypervisor;

use super::budgets::{Budget, BUDGETS};
use super::sheet::{Cell, Line, Sheet};
use super::stored::Figures;
use crate::trace::events::{Event, Kind, KINDS};

/// How far Xen's figures may be from those measured with another guest.
const HONEST: f64 = 0.03;

/// Kinds of events of which Zendo must not have more than Xen.
const NO_MORE: [Event; 2] = [Event::Exception, Event::Cr3Load];

/// The rows.
pub fn rows(sheet: &Sheet) -> String {
    let mut text = format!(
        "{:<42} {:<9} {:>10} {:>10} {:>6} {:>7} {:>9} {:>9} {:>6}\n",
        "row", "unit", "xen", "zendo", "ratio", "budget", "xen ns", "zendo ns", "ratio"
    );
    for line in &sheet.lines {
        let budget = Budget::of_row(&line.name).map(|budget| budget.at_most);
        text.push_str(&format!(
            "{:<42} {:<9} {:>10} {:>10} {:>6} {:>7} {:>9} {:>9} {:>6}\n",
            line.name,
            line.unit,
            instructions(&line.xen),
            instructions(&line.zendo),
            shown(line.ratio(), 2),
            shown(budget, 0),
            nanoseconds(&line.xen),
            nanoseconds(&line.zendo),
            shown(line.time_ratio(), 2),
        ));
    }
    text
}

fn instructions(cell: &Option<Cell>) -> String {
    shown(cell.as_ref().map(|cell| cell.instructions), 1)
}

fn nanoseconds(cell: &Option<Cell>) -> String {
    shown(cell.as_ref().and_then(|cell| cell.nanoseconds), 0)
}

/// A number, or a dash where there is none.
fn shown(number: Option<f64>, digits: usize) -> String {
    number.map_or("-".to_string(), |number| format!("{number:.digits$}"))
}

/// The budgets whose rows were measured.
pub fn budgets(sheet: &Sheet) -> String {
    let concerned: Vec<&Budget> = BUDGETS.iter().filter(|budget| budget.concerns(sheet)).collect();
    if concerned.is_empty() {
        return String::new();
    }
    let mut text = format!("{:<42} {:>10} {:>10} {:>8}\n", "budget", "xen", "zendo", "at most");
    for budget in concerned {
        let zendo = budget.cost(sheet, Hypervisor::Zendo);
        let verdict = match zendo {
            Some(cost) if budget.holds(cost) => "ok",
            Some(_) => "OVER",
            None => "",
        };
        text.push_str(&format!(
            "{:<42} {:>10} {:>10} {:>8} {verdict}\n",
            budget.operation,
            shown(budget.cost(sheet, Hypervisor::Xen), 1),
            shown(zendo, 1),
            shown(Some(budget.at_most), 0),
        ));
    }
    text
}

/// The operations that need more than their budget: name, cost, budget.
pub fn over(sheet: &Sheet) -> Vec<(&'static str, f64, f64)> {
    let cost = |budget: &Budget| {
        let cost = budget.cost(sheet, Hypervisor::Zendo)?;
        (!budget.holds(cost)).then_some((budget.operation, cost, budget.at_most))
    };
    BUDGETS.iter().filter_map(cost).collect()
}

/// The means, and the rows in which Zendo is above Xen.
pub fn means(sheet: &Sheet) -> String {
    let mut text = String::new();
    let mut mean = |name: &str, ratio: fn(&Line) -> Option<f64>| {
        if let Some((mean, rows)) = sheet.mean(ratio) {
            text.push_str(&format!("{name}: {mean:.3} of Xen, geometric mean of {rows} rows\n"));
        }
    };
    mean("instructions", Line::ratio);
    mean("wall time under TCG", Line::time_ratio);
    mean("modelled cycles", Line::cycle_ratio);
    for line in sheet.lines.iter().filter(|line| line.ratio().is_some_and(|ratio| ratio > 1.0)) {
        text.push_str(&format!("above Xen: {} ({})\n", line.name, shown(line.ratio(), 2)));
    }
    text
}

/// Events of each row on both, as `zendo/xen` where any happened.
pub fn events(sheet: &Sheet) -> String {
    let mut text = String::new();
    for line in &sheet.lines {
        let of = |cell: &Option<Cell>| cell.as_ref().and_then(|cell| cell.events.clone());
        let (zendo, xen) = (of(&line.zendo), of(&line.xen));
        if zendo.is_none() && xen.is_none() {
            continue;
        }
        let cycles = [&xen, &zendo].map(|events| shown(events.as_ref().map(|e| e.cycles), 0));
        text.push_str(&format!("{:<42} {:>9} {:>9}  ", line.name, cycles[0], cycles[1]));
        for (index, kind) in KINDS.iter().enumerate() {
            let count = |events: &Option<_>| {
                events.as_ref().map_or(0.0, |e: &super::sheet::Events| e.counts[index])
            };
            let (theirs, ours) = (count(&xen), count(&zendo));
            if theirs > 0.0 || ours > 0.0 {
                text.push_str(&format!(" {} {}/{}", kind.name, brief(theirs), brief(ours)));
            }
        }
        text.push('\n');
    }
    match text.is_empty() {
        true => text,
        false => format!(
            "{:<42} {:>9} {:>9}   events xen/zendo\n{text}",
            "modelled cycles", "xen", "zendo"
        ),
    }
}

/// The weights of the model.
pub fn weights() -> String {
    let line = |kind: &Kind| format!("  {:<11} {:>5}  {}\n", kind.name, kind.cycles, kind.why);
    let lines: String = KINDS.iter().map(line).collect();
    format!("modelled cycles are instructions, and for each of the events:\n{lines}")
}

fn brief(number: f64) -> String {
    match number.fract() < 0.005 {
        true => format!("{number:.0}"),
        false => format!("{number:.2}"),
    }
}

/// What is remarkable about the events: more of them than Xen has, or a trace that does not agree
/// with the counter.
pub fn odd_events(sheet: &Sheet) -> Vec<String> {
    let mut odd = Vec::new();
    for line in &sheet.lines {
        for (name, cell) in [("zendo", &line.zendo), ("xen", &line.xen)] {
            // What is waited for is not the same under a trace.
            let cell = cell.as_ref().filter(|_| !line.is_delay());
            odd.extend(cell.and_then(|cell| disagreement(&line.name, name, cell)));
        }
        let of = |cell: &Option<Cell>| cell.as_ref().and_then(|cell| cell.events.clone());
        let (Some(zendo), Some(xen)) = (of(&line.zendo), of(&line.xen)) else { continue };
        for event in NO_MORE.map(Event::index) {
            if zendo.counts[event] > xen.counts[event] {
                let (ours, theirs) = (brief(zendo.counts[event]), brief(xen.counts[event]));
                let kind = KINDS[event].name;
                odd.push(format!("{}: {ours} {kind}, {theirs} on Xen", line.name));
            }
        }
    }
    odd
}

/// The counter and the trace differ by the loop around an operation, and by the instructions that
/// faulted, which only the trace counts.
fn disagreement(row: &str, which: &str, cell: &Cell) -> Option<String> {
    let Some(events) = &cell.events else { return Some(format!("{row} on {which}: no trace")) };
    let allowed = 8.0 + events.counts[Event::Exception.index()] + cell.instructions * HONEST;
    let far = (events.instructions - cell.instructions).abs() > allowed;
    far.then(|| {
        format!(
            "{row} on {which}: {:.1} instructions in the trace, {:.1} by the counter",
            events.instructions, cell.instructions
        )
    })
}

/// Xen's figures beside those measured with another guest: how many agree, and the others with the
/// reason that is known for them.
pub fn honesty(sheet: &Sheet, reference: &Figures, reasons: &[(String, String)]) -> String {
    let (mut near, mut far) = (0, String::new());
    for (name, wanted) in reference {
        let Some(measured) = sheet.instructions(Hypervisor::Xen, name) else { continue };
        let off = measured / wanted - 1.0;
        match off.abs() <= HONEST {
            true => near += 1,
            false => {
                let reason = reasons.iter().find(|(row, _)| row == name);
                let reason = reason.map_or("unexplained", |(_, reason)| reason);
                far.push_str(&format!(
                    "  {name}: {measured:.1}, another guest had {wanted:.1} ({:+.1} %): {reason}\n",
                    off * 100.0
                ));
            }
        }
    }
    match (near, far.is_empty()) {
        (0, true) => String::new(),
        (_, true) => format!("all {near} rows agree within 3 % with another guest's on Xen\n"),
        (_, false) => {
            format!("{near} rows agree within 3 % with another guest's on Xen, not:\n{far}")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::lines;
    use super::super::sheet::{tests::sample, Events};
    use super::*;

    #[test]
    fn a_row_shows_both_and_dashes_where_nothing_was_measured() {
        let text = rows(&sample());
        let line = text.lines().find(|line| line.starts_with("gnt_c")).expect("the row");
        let words: Vec<&str> = line.split_whitespace().collect();
        assert_eq!(words, ["gnt_c", "pair", "-", "900.0", "-", "-", "-", "900", "-"]);
        assert!(means(&sample()).contains("above Xen: hc_b (2.00)"));
    }

    #[test]
    fn what_is_over_its_budget_is_said() {
        let text = "calibration 1 1\nrow hc_xen_version hypercall 1 111 ok\n\
            row uvm_none hypercall 1 380 ok\n";
        let mut sheet = Sheet::default();
        sheet.take_instructions(Hypervisor::Zendo, &lines::read(text).expect("good"));
        assert_eq!(over(&sheet), [("null hypercall", 111.0, 110.0)]);
        let text = budgets(&sheet);
        let ends: Vec<&str> =
            text.lines().skip(1).filter_map(|line| line.split_whitespace().last()).collect();
        assert_eq!(ends, ["OVER", "ok"]);
    }

    #[test]
    fn a_figure_of_xen_that_is_three_percent_off_is_listed() {
        let reference = vec![("hc_a".to_string(), 205.0), ("hc_b".to_string(), 210.0)];
        let text = honesty(&sample(), &reference, &[]);
        let wanted = "hc_b: 200.0, another guest had 210.0 (-4.8 %): unexplained";
        assert!(text.contains(wanted), "{text}");
        let reasons = [("hc_b".to_string(), "a shorter loop".to_string())];
        assert!(honesty(&sample(), &reference, &reasons).contains("(-4.8 %): a shorter loop"));
        assert!(!text.contains("hc_a:"), "{text}");
    }

    #[test]
    fn more_exceptions_than_xen_and_traces_that_disagree_are_odd() {
        let mut sheet = sample();
        let events = |instructions, exceptions| {
            let mut counts = [0.0; KINDS.len()];
            counts[Event::Exception.index()] = exceptions;
            Some(Events { instructions, guest: 1.0, cycles: 1.0, counts })
        };
        let line = &mut sheet.lines[0];
        line.zendo.as_mut().expect("measured").events = events(101.5, 1.0);
        line.xen.as_mut().expect("measured").events = events(250.0, 0.0);
        sheet.lines.truncate(1);
        let odd = odd_events(&sheet);
        assert_eq!(odd.len(), 2, "{odd:?}");
        assert!(odd[0].contains("on xen: 250.0 instructions in the trace, 200.0 by"), "{odd:?}");
        assert_eq!(odd[1], "hc_a: 1 exceptions, 0 on Xen");
    }
}
