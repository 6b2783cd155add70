//! The table of `bench kernel`.

use std::fmt::Write;

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
