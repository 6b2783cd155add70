//! The page's numbers as a table for other programs.

use super::measure::{Measured, NAMES, PARTIES};
use crate::trace::events::KINDS;

/// One line for each row and hypervisor; all numbers are for one wish. The columns behind the
/// cycles are the counts of events.
pub fn csv(measured: &Measured) -> String {
    let mut text = String::from("row,hypervisor,instructions,modelled_cycles");
    KINDS.iter().for_each(|kind| text.push_str(&format!(",{}", kind.name)));
    text.push('\n');
    for (name, costs) in &measured.rows {
        for (party, cost) in costs.iter().enumerate().take(NAMES.len()) {
            let Some(cost) = cost else { continue };
            let which = PARTIES[party].name();
            let (instructions, cycles) = (cost.instructions(), cost.cycles());
            text.push_str(&format!("{name},{which},{instructions:.2},{cycles:.1}"));
            for kind in &KINDS {
                text.push_str(&format!(",{}", plain(cost.event(kind.event))));
            }
            text.push('\n');
        }
    }
    text
}

/// A count with the places it needs, three at most.
fn plain(count: f64) -> String {
    let text = format!("{count:.3}");
    text.trim_end_matches('0').trim_end_matches('.').to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::versus::measure::Cost;

    #[test]
    fn every_row_is_a_line_for_each_hypervisor_that_was_there() {
        let cost = Cost { units: 4, ticks: 10, traced: 8, ..Default::default() };
        let rows = [("versus_a".to_string(), [Some(cost), None])].into();
        let text = csv(&Measured { rows, provenance: Vec::new() });
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 2, "{text}");
        assert!(lines[1].starts_with("versus_a,zendo,2.50,2.5,0,"), "{text}");
        assert_eq!(lines[0].split(',').count(), lines[1].split(',').count());
    }

    #[test]
    fn counts_have_no_needless_zeros() {
        assert_eq!([0.0, 1.0, 0.5, 0.0625, 10.0].map(plain), ["0", "1", "0.5", "0.062", "10"]);
    }
}
