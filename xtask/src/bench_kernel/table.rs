//! The table of `bench kernel`.

use std::fmt::Write;

use super::events::{shown, Events, Tally, KINDS};
use super::rows::{required, Figures};
use super::Place;

/// For people: instructions, Zendo as a multiple of native, and Xen as a multiple of Zendo.
pub fn text(figures: &Figures) -> String {
    let [native, zendo, xen] = Place::ALL.map(Place::name);
    let mut text = format!(
        "{:<20} {native:>12} {zendo:>12} {xen:>12} {:>9} {:>9}  required\n",
        "instructions", "Z/native", "Xen/Z"
    );
    for name in figures.names() {
        let values = Place::ALL.map(|place| figures.get(name, place));
        let shown = values.map(|value| value.map_or("-".to_string(), |value| value.to_string()));
        let [native, zendo, xen] = values;
        let line = format!(
            "{name:<20} {:>12} {:>12} {:>12} {:>9} {:>9}  {}",
            shown[0],
            shown[1],
            shown[2],
            ratio(zendo, native),
            ratio(xen, zendo),
            required(name)
        );
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{}", line.trim_end());
    }
    text
}

/// For people: events of one operation, a line for each place. Kinds that happened nowhere are left out.
pub fn events(figures: &Figures, events: &Events) -> String {
    let told: Vec<_> = told(figures, events).collect();
    let is_seen = |at: &usize| told.iter().any(|(.., counts)| counts[*at] > 0);
    let seen: Vec<usize> = (0..KINDS.len()).filter(is_seen).collect();
    let line = |name: &str, place: &str, cells: &[String]| {
        let mut line = format!("{name:<20} {place:<8}");
        for (at, cell) in seen.iter().zip(cells) {
            let width = KINDS[*at].1.len().max(4) + 1;
            let _ = write!(line, " {cell:>width$}");
        }
        line + "\n"
    };
    let heads: Vec<String> = seen.iter().map(|at| KINDS[*at].1.to_string()).collect();
    let mut text = line("events per operation", "", &heads);
    for (name, place, counts) in &told {
        let name = if *place == Place::Native { name } else { "" };
        let cells: Vec<String> = seen.iter().map(|at| shown(counts[*at])).collect();
        text.push_str(&line(name, place.name(), &cells));
    }
    text
}

/// Rows, places and counts, as far as they were followed.
fn told<'a>(
    figures: &'a Figures,
    events: &'a Events,
) -> impl Iterator<Item = (&'a str, Place, [u64; KINDS.len()])> {
    let all = figures.names().flat_map(|name| Place::ALL.map(|place| (name, place)));
    all.filter_map(|(name, place)| Some((name, place, events.get(name, place)?.hundredths())))
}

/// For `docs/kernel-events.csv`: of each place a column for each kind.
pub fn events_csv(figures: &Figures, events: &Events) -> String {
    let mut text = "row".to_string();
    for place in Place::ALL {
        KINDS.iter().for_each(|(kind, _)| text.push_str(&format!(",{}_{kind}", place.column())));
    }
    for name in figures.names() {
        let cells = Place::ALL.map(|place| events.get(name, place).map(Tally::hundredths));
        if cells.iter().any(Option::is_some) {
            text.push_str(&format!("\n{name}"));
            for cell in cells {
                let of_kind = |at: usize| cell.map_or("-".to_string(), |counts| shown(counts[at]));
                (0..KINDS.len()).for_each(|at| text.push_str(&format!(",{}", of_kind(at))));
            }
        }
    }
    text + "\n"
}

/// For `docs/kernel.csv`; `-` where nothing was measured.
pub fn csv(figures: &Figures) -> String {
    let mut text = "row,native,zendo,xen\n".to_string();
    for name in figures.names() {
        let values = Place::ALL.map(|place| figures.get(name, place));
        let shown = values.map(|value| value.map_or("-".to_string(), |value| value.to_string()));
        text.push_str(&format!("{name},{}\n", shown.join(",")));
    }
    text
}

fn ratio(of: Option<u64>, to: Option<u64>) -> String {
    match (of, to) {
        (Some(of), Some(to)) if to > 0 => format!("{:.2}", of as f64 / to as f64),
        _ => "-".to_string(),
    }
}
